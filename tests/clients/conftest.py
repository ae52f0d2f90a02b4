from tests.server.conftest import app, engine, eventually, say, text, url

__all__ = ["app", "engine", "eventually", "say", "text", "url"]
