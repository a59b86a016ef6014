"""A stand-in for the HTTP interface of a model hub, in a thread of this process: repositories are dictionaries."""

import base64
import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def _digest(content):
    return hashlib.sha1(content).hexdigest()


class Hub:
    """`files[repository][revision][path]` is the content of a file; `requests` are methods and paths, in order."""

    def __init__(self):
        self.files, self.requests, self.private = {}, [], {}
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.address = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def put(self, repository, files, revision="main"):
        self.files.setdefault(repository, {}).setdefault(revision, {}).update(files)

    def commit(self, repository, revision):
        return _digest(f"{repository} {revision}".encode())

    def find(self, repository, revision):
        """The files of a revision, by its name or its hash."""
        revisions = self.files.get(repository, {})
        names = [name for name in revisions if revision in (name, self.commit(repository, name))]
        return (names[0], revisions[names[0]]) if names else (None, None)

    def _handler(hub):  # noqa: N805 - `self` is the handler within
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def answer(self, content, status=200, **headers):
                body = content if isinstance(content, bytes) else json.dumps(content).encode()
                self.send_response(status)
                for name, value in {"Content-Length": str(len(body)), **headers}.items():
                    self.send_header(name.replace("_", "-"), value)
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

            def missing(self, code):
                self.answer({"error": code}, 404, X_Error_Code=code)

            def body(self):
                return self.rfile.read(int(self.headers.get("Content-Length", 0)))

            def do_POST(self):
                hub.requests.append(("POST", self.path))
                body, words = self.body(), self.path.split("/")
                if self.path == "/api/repos/create":
                    asked = json.loads(body)
                    name = asked["name"] if "organization" not in asked else f"{asked['organization']}/{asked['name']}"
                    hub.files.setdefault(name, {}).setdefault("main", {})
                    hub.private[name] = asked.get("private") or asked.get("visibility") == "private"
                    self.answer({"url": f"{hub.address}/{name}"})
                    return
                if self.path == "/api/validate-yaml":
                    self.answer({"errors": [], "warnings": []})
                    return
                repository, action, revision = "/".join(words[3:5]), words[5], words[6]
                if action == "branch":
                    hub.put(repository, {}, revision)
                    self.answer({})
                elif action == "preupload":
                    asked = json.loads(body)["files"]
                    plain = [{"path": f["path"], "uploadMode": "regular", "shouldIgnore": False} for f in asked]
                    self.answer({"files": plain})
                elif action == "commit":
                    for line in map(json.loads, body.splitlines()):
                        if line["key"] == "file":
                            hub.put(
                                repository,
                                {line["value"]["path"]: base64.b64decode(line["value"]["content"])},
                                revision,
                            )
                    oid = hub.commit(repository, revision)
                    url = f"{hub.address}/{repository}/commit/{oid}"
                    self.answer({"success": True, "commitOid": oid, "commitUrl": url})

            def do_GET(self):
                hub.requests.append((self.command, self.path))
                words = self.path.split("?")[0].split("/")
                if words[1] == "api":
                    repository, revision = "/".join(words[3:5]), words[6] if len(words) > 6 else "main"
                    name, files = hub.find(repository, revision)
                    if repository not in hub.files:
                        self.missing("RepoNotFound")
                    elif files is None:
                        self.missing("RevisionNotFound")
                    elif words[5:6] == ["tree"]:
                        self.answer(
                            [
                                {"type": "file", "path": path, "size": len(content), "oid": _digest(content)}
                                for path, content in files.items()
                            ]
                        )
                    else:
                        siblings = [{"rfilename": path} for path in files]
                        oid = hub.commit(repository, name)
                        self.answer({"id": repository, "modelId": repository, "sha": oid, "siblings": siblings})
                    return
                repository, revision, path = "/".join(words[1:3]), words[4], "/".join(words[5:])
                name, files = hub.find(repository, revision)
                if files is None or path not in files:
                    self.missing("EntryNotFound")
                    return
                etag = f'"{_digest(files[path])}"'
                self.answer(files[path], ETag=etag, X_Repo_Commit=hub.commit(repository, name))

            def do_HEAD(self):
                self.do_GET()

        return Handler
