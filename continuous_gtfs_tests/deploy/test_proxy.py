"""The example of a proxy: a login before the web interfaces, reading only for the feeds, no request of other sites."""

from __future__ import annotations

import http.client
import http.server
import re
import shutil
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from email.message import Message
from pathlib import Path

import pytest
import yaml

from continuous_gtfs_tests.deploy import compose
from continuous_gtfs_tests.deploy.test_compose import SERVICES
from continuous_gtfs_tests.end_to_end.deployment import wait_for
from continuous_gtfs_tests.real_data import ROOT

FOLDER = ROOT / "deploy" / "proxy"
NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
UPSTREAM = re.compile(r"set \$\w+ ([\w-]+):(\d+);")
needs_nginx = pytest.mark.skipif(NGINX is None, reason="nginx is not installed")
# The user looker, whose password is "secret"; people use `openssl passwd -6`.
PASSWORDS = "looker:{PLAIN}secret\n"
LOGIN = {"Authorization": "Basic bG9va2VyOnNlY3JldA=="}


@contextmanager
def upstream() -> Iterator[tuple[int, list[dict[str, str]]]]:
    """A server behind the proxy, and the headers of what reached it."""
    seen: list[dict[str, str]] = []

    class Answers(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(dict(self.headers))
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"ok")

        def do_POST(self) -> None:
            self.do_GET()

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers) as listening:
        thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield listening.server_port, seen
        finally:
            listening.shutdown()
            thread.join()


@dataclass
class Proxy:
    port: int
    seen: dict[str, list[dict[str, str]]]
    answered: Message = field(default_factory=Message)

    def ask(self, host: str, method: str = "GET", path: str = "/", **headers: str) -> int:
        """The status of one answer; 0 where the connection is closed without one. Its headers are kept."""
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, context=context, timeout=10)
        try:
            connection.request(method, path, headers={"Host": host, **headers})
            answer = connection.getresponse()
            self.answered = answer.msg
            return answer.status
        except http.client.RemoteDisconnected:
            return 0
        finally:
            connection.close()


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """The configuration as it stands, but for where it listens and what is behind it."""
    assert NGINX is not None
    folder = tmp_path_factory.mktemp("proxy")
    for name in ("tls", "passwords"):
        (folder / name).mkdir()
    for name in ("operate", "look"):
        (folder / "passwords" / name).write_text(PASSWORDS)
    files = [str(folder / "tls" / name) for name in ("key.pem", "certificate.pem")]
    make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=example.org", "-days", "2"]
    subprocess.run([*make, "-keyout", files[0], "-out", files[1]], check=True, capture_output=True)
    with ExitStack() as stack:
        text = (FOLDER / "nginx.conf").read_text()
        seen = {}
        for name, _ in UPSTREAM.findall(text):
            port, seen[name] = stack.enter_context(upstream())
            text = re.sub(rf" {name}:\d+;", f" 127.0.0.1:{port};", text)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        text = text.replace("listen 8443", f"listen 127.0.0.1:{port}").replace("/tmp/", f"{folder}/")
        for kind in ("tls", "passwords"):
            text = text.replace(f"/etc/nginx/{kind}", str(folder / kind))
        (folder / "nginx.conf").write_text(text)
        # As root its workers would be another user, who may not enter the folders of the test.
        user = ["-g", "daemon off; user root;"] if Path("/proc/self").stat().st_uid == 0 else ["-g", "daemon off;"]
        process = stack.enter_context(
            subprocess.Popen([NGINX, "-c", str(folder / "nginx.conf"), "-p", str(folder), *user])
        )
        stack.callback(process.terminate)
        wait_for(lambda: process.poll() is not None or _listens(port), what="nginx")
        assert process.poll() is None
        yield Proxy(port, seen)


def _listens(port: int) -> bool:
    with socket.socket() as attempt:
        return attempt.connect_ex(("127.0.0.1", port)) == 0


@needs_nginx
def test_feeds_are_read_without_a_login_and_nothing_else_is_done_with_them(proxy: Proxy) -> None:
    assert proxy.ask("feeds.example.org") == 200
    assert proxy.ask("feeds.example.org", "HEAD") in (200, 501)
    assert [proxy.ask("feeds.example.org", method) for method in ("POST", "PUT", "DELETE")] == [403] * 3
    assert all("Upgrade" not in headers for headers in proxy.seen["published"])


@needs_nginx
@pytest.mark.parametrize(("host", "behind"), [("operate", "webserver"), ("look", "webserver-readonly")])
def test_an_interface_asks_for_a_login_which_what_is_behind_does_not_see(proxy: Proxy, host: str, behind: str) -> None:
    assert proxy.ask(f"{host}.example.org") == 401
    assert proxy.ask(f"{host}.example.org", Authorization="Basic bG9va2VyOndyb25n") == 401
    assert proxy.ask(f"{host}.example.org", **LOGIN) == 200
    assert proxy.ask(f"{host}.example.org", "POST", Origin=f"https://{host}.example.org", **LOGIN) == 200
    assert len(proxy.seen[behind]) == 2
    assert all("Authorization" not in headers for headers in proxy.seen[behind])


@needs_nginx
def test_a_kept_login_does_not_let_another_site_in(proxy: Proxy) -> None:
    assert proxy.ask("operate.example.org", "POST", Origin="https://elsewhere.example.com", **LOGIN) == 403
    link = "/graphql?query=mutation%7BreloadWorkspace%7B__typename%7D%7D"
    assert proxy.ask("operate.example.org", path=link, **LOGIN) == 403
    opened = {"Upgrade": "websocket", "Connection": "Upgrade", "Origin": "https://operate.example.org"}
    assert proxy.ask("operate.example.org", path="/graphql", **opened, **LOGIN) == 200
    assert proxy.ask("operate.example.org", path="/runs", **LOGIN) == 200, "a link to a page is no change"


@needs_nginx
def test_a_name_that_is_none_of_ours_gets_no_answer(proxy: Proxy) -> None:
    assert proxy.ask("elsewhere.example.com", **LOGIN) == 0


@needs_nginx
@pytest.mark.parametrize("host", ["feeds", "operate", "look"])
@pytest.mark.parametrize("login", [{}, LOGIN])
def test_every_answer_tells_a_browser_what_it_may_not_do(proxy: Proxy, host: str, login: dict[str, str]) -> None:
    proxy.ask(f"{host}.example.org", **login)
    assert "frame-ancestors 'none'" in proxy.answered["Content-Security-Policy"]
    assert proxy.answered["X-Content-Type-Options"] == "nosniff"
    assert proxy.answered["Strict-Transport-Security"]


def test_every_server_says_by_headers_what_a_browser_may_not_do() -> None:
    """Also where nginx is not installed to try it. A server that has one header of its own inherits none."""
    text = (FOLDER / "nginx.conf").read_text()
    assert "add_header" not in text[: text.index("server {")]
    servers = {server.split(";")[0]: server for server in text.split("server_name ")[1:]}
    assert {"feeds.example.org", "operate.example.org", "look.example.org"} <= set(servers)
    for name, server in servers.items():
        headers = dict(re.findall(r'add_header ([\w-]+) "?([^"\n]+)"? always;', server))
        assert headers.keys() >= {"Strict-Transport-Security", "X-Content-Type-Options", "Content-Security-Policy"}, (
            name
        )
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"], name
    for name in ("operate.example.org", "look.example.org"):
        # A picture in a Markdown that slipped through asks nobody outside, and Dagster's own pictures are seen.
        assert "img-src 'self' data: blob:;" in servers[name]
        assert "connect-src 'self' wss://$host;" in servers[name]


def test_it_leads_to_the_services_and_their_ports() -> None:
    """Also where nginx is not installed to try it."""
    behind = UPSTREAM.findall((FOLDER / "nginx.conf").read_text())
    assert [name for name, _ in behind] == ["published", "webserver", "webserver-readonly"]
    for name, port in behind:
        assert port in SERVICES[name].command, name
    proxy = yaml.safe_load((FOLDER / "compose.yaml").read_text())["services"]["proxy"]
    for name, _ in behind:
        assert set(proxy["networks"]) & set(SERVICES[name].raw["networks"]), name
    assert "inside" not in proxy["networks"], "it has no business with the database"


def test_the_compose_file_of_the_proxy_is_one_and_its_secrets_stay_out_of_the_repository() -> None:
    checker = [str(Path(sys.executable).parent / "check-jsonschema"), "--builtin-schema", "vendor.compose-spec"]
    told = subprocess.run([*checker, str(FOLDER / "compose.yaml")], capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stdout
    ignored = (ROOT / ".gitignore").read_text().splitlines()
    assert {"deploy/proxy/tls/", "deploy/proxy/passwords/"} <= set(ignored)
    assert compose.FILE.parent == ROOT, "paths in an override are those of the first file"
