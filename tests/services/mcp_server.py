"""A small MCP server on a real socket, with the official SDK; streamable HTTP."""

import contextlib
import socket
import threading
from collections.abc import Iterator

import uvicorn
from mcp.server.mcpserver import MCPServer


def build() -> MCPServer:
    """A server with a good tool, one that fails, and two that no model could be offered."""
    server = MCPServer("ward", version="1")

    @server.tool(description="Beds that are free in a ward.")
    def free_beds(ward: str, *, floor: int = 1) -> str:
        return f"{len(ward) + floor} beds are free in {ward}."

    @server.tool(description="Always fails.")
    def broken() -> str:
        raise RuntimeError("the ward is closed")

    @server.tool(name="no.usable.name", description="A name that models do not accept.")
    def dotted() -> str:
        return ""

    @server.tool(description="words " * 5_000)
    def wordy() -> str:
        return "fine"

    return server


@contextlib.contextmanager
def mcp_server() -> Iterator[str]:
    """Run the server for the length of a test; yields its URL."""
    listener = socket.create_server(("127.0.0.1", 0))
    app = build().streamable_http_app()
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical", lifespan="on"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/mcp"
    finally:
        server.should_exit = True
        thread.join()
        listener.close()
