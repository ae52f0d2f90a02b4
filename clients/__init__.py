"""Clients for Carousel and every other OpenAI-compatible server. They need httpx, and nothing of the server's."""

from clients.client import AsyncCarousel, Carousel
from clients.collect import Collector, collect
from clients.errors import ClientError
from clients.retries import NO_RETRIES, Retries
from clients.tool_loop import ToolError

__all__ = ["NO_RETRIES", "AsyncCarousel", "Carousel", "ClientError", "Collector", "Retries", "ToolError", "collect"]
