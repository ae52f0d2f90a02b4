from tests.server.conftest import app, engine, say, text, url

__all__ = ["app", "engine", "say", "text", "url"]
