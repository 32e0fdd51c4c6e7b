"""A hub on this machine: as much of the Hugging Face hub's own protocol as pushing and fetching a model takes."""

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

Files = dict[str, bytes]


class Hub:
    """What was pushed, by repository, and every request that was made."""

    def __init__(self) -> None:
        self.files: dict[str, Files] = {}
        self.requests: list[str] = []
        self.endpoint = ""

    def commit(self, repository: str, lines: list[dict]) -> None:
        """Take in a commit as the hub's clients send it: a JSON line an operation."""
        for line in lines:
            if line["key"] == "file":
                content = base64.b64decode(line["value"]["content"])
                self.files.setdefault(repository, {})[line["value"]["path"]] = content

    def sha(self, repository: str) -> str:
        """Name the state of a repository, as commits are named."""
        seed = repr(sorted((name, hashlib.sha1(data).hexdigest()) for name, data in self.files[repository].items()))
        return hashlib.sha1(seed.encode()).hexdigest()


class Desk(BaseHTTPRequestHandler):
    """Answers one request."""

    hub: Hub

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def answer(self, data: bytes, code: int = 200, **headers: str) -> None:
        self.send_response(code)
        for name, value in {"Content-Length": str(len(data)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def tell(self, words: object) -> None:
        self.answer(json.dumps(words).encode(), Content_Type="application/json")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        path = urlsplit(self.path).path
        self.hub.requests.append(f"POST {path}")
        kind, _, rest = path.removeprefix("/api/").partition("/")
        if path == "/api/repos/create":
            words = json.loads(body)
            self.hub.files[f"{words['organization']}/{words['name']}"] = {}
            self.tell({"url": f"{self.hub.endpoint}/{words['organization']}/{words['name']}"})
        elif kind == "validate-yaml":
            self.tell({"errors": [], "warnings": []})
        elif "/preupload/" in rest:
            files = [{"path": file["path"], "uploadMode": "regular"} for file in json.loads(body)["files"]]
            self.tell({"files": [{**file, "shouldIgnore": False} for file in files]})
        elif "/commit/" in rest:
            repository = rest.split("/commit/")[0]
            self.hub.commit(repository, [json.loads(line) for line in body.splitlines()])
            sha = self.hub.sha(repository)
            self.tell({"commitUrl": f"{self.hub.endpoint}/{repository}/commit/{sha}", "commitOid": sha})
        else:
            self.answer(b"", 404)

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.hub.requests.append(f"{self.command} {path}")
        repository = "/".join(path.removeprefix("/api/models").split("/")[1:3])
        files = self.hub.files.get(repository)
        if files is None:
            self.answer(b"", 404, X_Error_Code="RepoNotFound")
        elif "/resolve/" in path:
            name = path.split("/resolve/")[1].split("/", 1)[1]
            if name not in files:
                self.answer(b"", 404, X_Error_Code="EntryNotFound")
                return
            digest = hashlib.sha1(files[name]).hexdigest()
            self.answer(files[name], ETag=f'"{digest}"', X_Repo_Commit=self.hub.sha(repository))
        elif "/tree/" in path:
            told = [
                {"type": "file", "path": n, "size": len(d), "oid": hashlib.sha1(d).hexdigest()}
                for n, d in files.items()
            ]
            self.tell(told)
        else:
            self.tell(
                {"id": repository, "sha": self.hub.sha(repository), "siblings": [{"rfilename": n} for n in files]}
            )

    do_HEAD = do_GET  # noqa: N815


@contextmanager
def serving() -> Iterator[Hub]:
    """Open a hub on a free port for a while; programs find it where HF_ENDPOINT is its endpoint."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Desk", (Desk,), {"hub": hub}))
    hub.endpoint = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
