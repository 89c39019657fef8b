"""A registry of images for tests: what the Docker Engine pushes to it is kept in memory, and given to who has the password.

  registry.py USER PASSWORD     listens on a free port of 127.0.0.1, which it prints, until it is killed
"""

import base64
import hashlib
import re
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

AUTHORIZATION = "Basic " + base64.b64encode(":".join(sys.argv[1:3]).encode()).decode()
blobs = {}  # by digest
uploads = {}  # by number: what came so far
manifests = {}  # by repository and tag or digest: media type and content


def digest(content):
    return "sha256:" + hashlib.sha256(content).hexdigest()


class Registry(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, content=b"", **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def body(self):
        if self.headers.get("Transfer-Encoding") == "chunked":
            content = b""
            while size := int(self.rfile.readline(), 16):
                content += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return content
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def handle_any(self):
        sent = self.body()
        if self.headers.get("Authorization") != AUTHORIZATION:
            return self.answer(401, WWW_Authenticate='Basic realm="simdb tests"')
        path, _, query = self.path.partition("?")
        if found := re.fullmatch(r"/v2/(.+)/manifests/(.+)", path):
            return self.manifest(found[1], found[2], sent)
        if found := re.fullmatch(r"/v2/(.+)/blobs/uploads/(\d*)", path):
            return self.upload(found[1], found[2], query, sent)
        if found := re.fullmatch(r"/v2/.+/blobs/(.+)", path):
            content = blobs.get(found[1])
            return self.answer(404) if content is None else self.answer(200, content, Docker_Content_Digest=found[1])
        return self.answer(200)

    def manifest(self, repository, name, sent):
        if self.command == "PUT":
            kept = (self.headers["Content-Type"], sent)
            manifests[repository, name] = manifests[repository, digest(sent)] = kept
            return self.answer(201, Docker_Content_Digest=digest(sent))
        kept = manifests.get((repository, name))
        if kept is None:
            return self.answer(404, b'{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}')
        return self.answer(200, kept[1], Content_Type=kept[0], Docker_Content_Digest=digest(kept[1]))

    def upload(self, repository, number, query, sent):
        if self.command == "POST":
            number = str(len(uploads))
            uploads[number] = b""
        uploads[number] += sent
        if self.command == "PUT":
            blobs[digest(uploads[number])] = uploads[number]
            return self.answer(201, Docker_Content_Digest=digest(uploads[number]))
        end = max(len(uploads[number]) - 1, 0)
        return self.answer(202, Location=f"/v2/{repository}/blobs/uploads/{number}", Range=f"0-{end}")

    do_GET = do_HEAD = do_POST = do_PATCH = do_PUT = handle_any


server = ThreadingHTTPServer(("127.0.0.1", 0), Registry)
print(server.server_address[1], flush=True)
server.serve_forever()
