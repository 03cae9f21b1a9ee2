"""Server-side request forgery: URLs of images that lead inside. No connection is opened for any of them."""

import socket
import threading

from cases import Group
from rig import KEY, MODEL, Rig


class Inside:
    """A listener on loopback that counts connections: what a forged request would reach."""

    def __init__(self):
        self.connections = 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            connection.sendall(b"HTTP/1.1 302 Found\r\nlocation: http://169.254.169.254/\r\ncontent-length: 0\r\n\r\n")
            connection.close()


def urls(port):
    hosts = ["127.0.0.1", "localhost", "2130706433", "0x7f000001", "0x7f.0.0.1", "0177.0.0.1", "127.1", "127.0.1", "0", "0.0.0.0",
             "[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[64:ff9b::7f00:1]", "[64:ff9b:1::7f00:1]", "[2002:7f00:1::]",
             "[fe80::1%25lo]", "[fd00:ec2::254]", "169.254.169.254", "169.254.170.2", "169.254.170.23", "10.0.0.1", "172.16.0.1",
             "192.168.0.1", "100.64.0.1", "198.18.0.1", "224.0.0.1", "255.255.255.255", "[ff02::1]", "[2001:db8::1]", "[2001::1]",
             "localhost.", "LOCALHOST", "127.0.0.1.", "\u2460\u2461\u2466.0.0.1", "127\u30020\u30020\u30021", "%31%32%37.0.0.1",
             "kubernetes.default.svc", "metadata.google.internal", "a.localhost"]
    for host in hosts:
        yield f"https://{host}/a.png"
    for text in [f"http://127.0.0.1:{port}/a.png", f"https://127.0.0.1:{port}/a.png", f"https://localhost:{port}/a.png",
                 f"https://example.com:{port}/a.png", f"https://example.com@127.0.0.1:{port}/a.png",
                 f"https://127.0.0.1:{port}#@example.com/a.png", f"https://127.0.0.1:{port}\\@example.com/a.png",
                 f"https://user:pass@localhost/a.png", "file:///etc/passwd", "gopher://127.0.0.1:6379/_INFO", "ftp://127.0.0.1/a",
                 "data:text/html,<p>", "//127.0.0.1/a.png", "/etc/passwd", "https:127.0.0.1/a.png", "https:///a.png", "https://",
                 "https://127.0.0.1 /a.png", "https://127.0.0.1\t/a.png", "jar:https://127.0.0.1!/a", "ldap://127.0.0.1/",
                 "HTTPS://127.0.0.1/a.png", "s3://bucket/a.png", "s3://bucket/../other/a.png", "S3://bucket/a.png"]:
        yield text


def bodies(url):
    image = {"type": "image_url", "image_url": {"url": url}}
    yield "chat", "/v1/chat/completions", {"model": MODEL, "messages": [{"role": "user", "content": [image]}]}
    source = {"type": "image", "source": {"type": "url", "url": url}}
    yield "messages", "/v1/messages", {"model": MODEL, "max_tokens": 9, "messages": [{"role": "user", "content": [source]}]}
    part = {"type": "input_image", "image_url": url}
    yield "responses", "/v1/responses", {"model": MODEL, "input": [{"role": "user", "content": [part]}]}


def run(programs):
    import json

    group = Group("ssrf")
    inside = Inside()
    with Rig(programs, document={"fetchRemoteMedia": True}) as rig:
        rig.clear_calls()
        for url in urls(inside.port):
            for dialect, path, body in bodies(url):
                def one(dialect=dialect, path=path, body=body):
                    status, _, response = rig.post(path, json.dumps(body), {"authorization": f"Bearer {KEY}"})
                    # Objects of S3 are read by Bedrock with the gateway's role, unless the configuration lists them: 403.
                    group.check(f"{dialect} {url!r}", status, {400, 403} if url.lower().startswith("s3:") else 400)
                    if b"root:" in response:
                        group.failures.append(f"{dialect} {url!r}: a file in the response")

                group.attempt(f"{dialect} {url!r}", one)
        group.expect("no connection to loopback", inside.connections == 0, f"{inside.connections} connections")
        sent = [call for call in rig.aws_calls("Converse") if "etc/passwd" in str(call)]
        group.expect("no file of the machine reaches AWS", not sent, sent)
        group.after(rig)
    inside.listener.close()
    return group
