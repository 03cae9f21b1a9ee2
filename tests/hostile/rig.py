"""A gateway and a simulated AWS as processes on loopback, and what every group checks after its cases."""

import http.client
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time

KEY = "sk-hostile-suite-0123456789abcdef"
MODEL = "amazon.nova-lite-v1:0"
ACCESS_KEY_ID = "AKIAIOSFODNN7EXAMPLE"
SECRET_ACCESS_KEY = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
# Bytes that a group may leave behind, and that strangers may occupy while they attack.
MEMORY = 64 * 1024 * 1024
#: Descriptors that a group may leave behind: connections that are kept alive, to AWS and from the checks.
DESCRIPTORS = 16
#: Longest time of a health check in seconds, beside an attack and after it.
HEALTH_SECONDS = 0.1


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def chat(text="hi", **members):
    """The body of a good request."""
    body = {"model": MODEL, "messages": [{"role": "user", "content": text}], **members}
    return json.dumps(body).encode()


class Rig:
    """Both processes. `document` is merged into the gateway's configuration, `descriptors` limits its open files."""

    def __init__(self, programs, *, document=None, open_=False, descriptors=None, tls=False, stderr=None, rest=True):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="hostile-"))
        self.port, self.admin, self.aws = free_port(), free_port(), free_port()
        self.log = self.directory / "gateway.log"
        self.processes = []
        self.tls = tls
        self._start_aws(programs.double)
        self._start_gateway(programs.gateway, document or {}, open_, descriptors, stderr)
        self._wait_until_ready()
        if rest:
            for _ in range(30):
                assert self.good() == 200, "the gateway does not serve a good request before the attack"
            time.sleep(0.5)
            self.rest_rss, self.rest_descriptors = self.rss(), self.descriptors()

    def _start_aws(self, program):
        account = {
            "users": [{
                "name": "app",
                "access_key_id": ACCESS_KEY_ID,
                "secret_access_key": SECRET_ACCESS_KEY,
                "policies": [{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}],
            }],
            "keep_calls": 5000,
        }
        config = self.directory / "account.yaml"
        config.write_text(json.dumps(account))
        log = open(self.directory / "aws.log", "wb")
        command = [program, "--listen", f"127.0.0.1:{self.aws}", "--config", str(config)]
        self.processes.append(subprocess.Popen(command, stderr=log, stdout=log))

    def _start_gateway(self, program, document, open_, descriptors, stderr):
        document = {"allow": ["*"], **document}
        if not open_:
            keys = self.directory / "keys"
            keys.mkdir()
            (keys / "good").write_text(KEY)
            document["clients"] = {"apiKeysDirectory": str(keys), **document.get("clients", {})}
        if self.tls:
            document["tls"] = self._certificate()
        config = self.directory / "gateway.yaml"
        config.write_text(json.dumps(document))
        environment = {
            "PATH": os.environ["PATH"],
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": ACCESS_KEY_ID,
            "AWS_SECRET_ACCESS_KEY": SECRET_ACCESS_KEY,
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.aws}",
        }
        command = [program, "serve", "--config", str(config), "--listen", f"127.0.0.1:{self.port}",
                   "--admin-listen", f"127.0.0.1:{self.admin}"]
        if descriptors:
            command = ["sh", "-c", f'ulimit -n {descriptors}; exec "$0" "$@"', *command]
        output = stderr if stderr is not None else open(self.log, "wb")
        self.gateway = subprocess.Popen(command, env=environment, stderr=output, stdout=subprocess.DEVNULL)
        self.processes.append(self.gateway)

    def _certificate(self):
        import datetime

        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import ec

        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
        now = datetime.datetime.now(datetime.timezone.utc)
        certificate = (x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
                       .serial_number(1).not_valid_before(now - datetime.timedelta(days=1))
                       .not_valid_after(now + datetime.timedelta(days=1))
                       .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), False)
                       .sign(key, hashes.SHA256()))
        pem = serialization.Encoding.PEM
        (self.directory / "tls.crt").write_bytes(certificate.public_bytes(pem))
        plain = serialization.NoEncryption()
        private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain)
        (self.directory / "tls.key").write_bytes(private)
        return {"certFile": str(self.directory / "tls.crt"), "keyFile": str(self.directory / "tls.key")}

    def _wait_until_ready(self):
        end = time.monotonic() + 60
        while True:
            try:
                if self.get(self.admin, "/readyz", timeout=1)[0] == 200:
                    return
            except OSError:
                pass
            if self.gateway.poll() is not None or time.monotonic() > end:
                log = self.log.read_text()[-2000:] if self.log.exists() else ""
                raise RuntimeError(f"the gateway does not become ready: {log}")
            time.sleep(0.05)

    def connect(self, source=None, port=None, timeout=10):
        """A connection to the API. `source` is another address of loopback."""
        address = ("127.0.0.1", port or self.port)
        return socket.create_connection(address, timeout, (source, 0) if source else None)

    def get(self, port, path, timeout=10):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def post(self, path, body, headers, timeout=30, source=None):
        """Status, headers and body of one request."""
        if self.tls:
            import ssl

            context = ssl.create_default_context(cafile=str(self.directory / "tls.crt"))
            connection = http.client.HTTPSConnection("localhost", self.port, timeout=timeout, context=context)
        else:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout,
                                                    source_address=(source, 0) if source else None)
        try:
            connection.request("POST", path, body, {"content-type": "application/json", **headers})
            response = connection.getresponse()
            return response.status, dict(response.getheaders()), response.read()
        finally:
            connection.close()

    def good(self, timeout=30, source=None):
        """The status of a good request."""
        headers = {"authorization": f"Bearer {KEY}"}
        return self.post("/v1/chat/completions", chat(), headers, timeout, source)[0]

    def health(self):
        """The seconds of the slower one of two health checks, on the admin port and on the API's."""
        slowest = 0.0
        for port in [self.admin] if self.tls else [self.admin, self.port]:
            started = time.monotonic()
            status, _ = self.get(port, "/healthz")
            slowest = max(slowest, time.monotonic() - started)
            assert status == 200, f"/healthz is {status}"
        return slowest

    def aws_calls(self, operation=None):
        """The calls that reached the simulated AWS."""
        query = f"?operation={operation}" if operation else ""
        return json.loads(self.get(self.aws, f"/_double/calls{query}")[1])

    def clear_calls(self):
        self._aws("DELETE", "calls")
        self._aws("DELETE", "faults")

    def fault(self, operation, action, **members):
        self._aws("POST", "faults", {"operation": operation, "action": action, **members})

    def _aws(self, method, path, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.aws, timeout=10)
        connection.request(method, f"/_double/{path}", json.dumps(body) if body is not None else None)
        response = connection.getresponse()
        text = response.read()
        assert response.status == 200, text
        connection.close()

    def log_lines(self):
        return self.log.read_bytes().splitlines()

    def metric(self, start):
        """The sum of all samples whose line starts with `start`."""
        text = self.get(self.admin, "/metrics")[1].decode()
        return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith(start))

    def rss(self):
        for line in open(f"/proc/{self.gateway.pid}/status"):
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        return 0

    def peak_rss(self):
        for line in open(f"/proc/{self.gateway.pid}/status"):
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
        return 0

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.gateway.pid}/fd"))

    def after(self, memory=MEMORY):
        """What must be true after a group: failures as text, and figures."""
        failures = []
        if self.gateway.poll() is not None:
            return [f"the gateway ended with {self.gateway.returncode}"], {}
        status = self.good()
        if status != 200:
            failures.append(f"a good request after the group is {status}")
        health = min(self.health() for _ in range(3))
        if health > HEALTH_SECONDS:
            failures.append(f"a health check after the group takes {health:.3f} s")
        end = time.monotonic() + 20
        while True:
            rss, descriptors = self.rss() - self.rest_rss, self.descriptors() - self.rest_descriptors
            if (rss <= memory and descriptors <= DESCRIPTORS) or time.monotonic() > end:
                break
            time.sleep(0.5)
        if rss > memory:
            failures.append(f"{rss >> 20} MB more than at rest")
        if descriptors > DESCRIPTORS:
            failures.append(f"{descriptors} descriptors more than at rest")
        panics = [line for line in self.log_lines() if b"panicked" in line] if self.log.exists() else []
        failures += [f"panic: {line[:300]!r}" for line in panics]
        figures = {"rss_mb": rss >> 20, "descriptors": descriptors, "health_ms": round(health * 1000, 1)}
        return failures, figures

    def stop(self):
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
            process.wait()
        shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()
