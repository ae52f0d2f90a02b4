"""Clients for Carousel and every other OpenAI-compatible server. They need httpx but not the server."""

from clients.client import AsyncCarousel, Carousel
from clients.collect import Collector, collect
from clients.errors import ClientError
from clients.retries import NO_RETRIES, Retries
from clients.tool_loop import ToolError

__all__ = ["NO_RETRIES", "AsyncCarousel", "Carousel", "ClientError", "Collector", "Retries", "ToolError", "collect"]
