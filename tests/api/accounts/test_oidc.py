"""Log-in with the school's account: a certified provider, and every way to cheat that we know of."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx2
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from api.auth.cookies import REFRESH
from api.auth.key_ring import Sealer
from api.auth.oidc.flow import COOKIE, FLOW_PURPOSE, Flow
from core.postgres import Postgres
from tests.api.accounts.conftest import made_user
from tests.api.accounts.issuers import Rogue, certified, free_port, running
from tests.api.conftest import PASSWORD, Person, data, fault, register
from tests.npm.conftest import npm_folder

__all__ = ["npm_folder"]
_CLIENT = {"client_id": "eduanalytics", "client_secret": "a secret of the school"}
_OTHER = {"client_id": "canteen", "client_secret": "a secret of the canteen"}
_ACCOUNTS: dict[str, Any] = {
    "ada": {"email": "Ada@Pupils.Example.org", "email_verified": True, "name": "Ada Example"},
    "tom": {"email": "tom@example.org", "email_verified": True, "name": "Tom\u202e", "groups": ["all", "staff"]},
    "both": {"email": "both@example.org", "email_verified": True, "groups": ["staff", "pupils"]},
    "liar": {"email": "liar@example.org", "email_verified": False},
    "silent": {"email": "silent@example.org"},
    "nobody": {},
    "guest": {"email": "guest@elsewhere.example.com", "email_verified": True},
    "linked": {"email": "linked@example.org", "email_verified": True},
    "twin": {"email": "linked@example.org", "email_verified": True},
    "squatted": {"email": "squatted@example.org", "email_verified": True},
    "foreign": {"email": "foreign@example.org", "email_verified": True},
    "unknown": {"email": "unknown@example.org", "email_verified": True},
    "leaver": {"email": "leaver@example.org", "email_verified": True},
}
_DOMAINS = ["example.org", "pupils.example.org"]


def _client(values: dict[str, str], *names: str) -> dict[str, Any]:
    return {**values, "redirect_uris": [f"http://test/auth/oidc/{name}/callback" for name in names]}


@pytest.fixture(scope="module")
def issuer(npm_folder: Path) -> Iterator[str]:
    """The certified provider."""
    clients = [_client(_CLIENT, "school", "strict"), _client(_OTHER, "school")]
    with certified(npm_folder, free_port(), clients, _ACCOUNTS) as url:
        yield url


@pytest.fixture(scope="module")
def rogue() -> Iterator[Rogue]:
    """The issuer that lies."""
    with running(Rogue(free_port())) as issuer:
        yield issuer


@pytest.fixture(scope="module")
def chosen(issuer: str, rogue: Rogue) -> dict[str, Any]:
    """Two providers over one issuer (one makes accounts, one only links), and a rogue one."""
    school = {**_CLIENT, "school_id": 1, "domains": _DOMAINS, "issuer": issuer}
    rule = {"role_claim": "groups", "roles": {"staff": "teacher", "pupils": "student"}, "default_role": "student"}
    providers = [
        {**school, "name": "school", "title": "School", **rule},
        {**school, "name": "strict", "title": "Strict"},
        {**school, "name": "rogue", "title": "Rogue", "issuer": rogue.url, "default_role": "student"},
    ]
    return {"oidc_providers": providers, "public_url": "http://test"}


@pytest.fixture(scope="module")
async def admin(client: httpx2.AsyncClient) -> Person:
    """The admin of the providers' school."""
    person = await register(client, "admin", school_name="Hilltop")
    assert person.school_id == 1
    return person


@pytest.fixture
async def rogue_honest(rogue: Rogue) -> Rogue:
    """The rogue before it lies."""
    rogue.reset()
    return rogue


class Browser:
    """What a browser does: it follows, and keeps cookies."""

    def __init__(self, client: httpx2.AsyncClient) -> None:
        self.client = client
        self.cookie = ""

    async def start(self, name: str, **query: str) -> str:
        """The address of the log-in page."""
        answer = await self.client.get(f"/auth/oidc/{name}/start", params=query)
        assert answer.status_code == 303, answer.text
        kept = answer.headers["set-cookie"]
        assert kept.startswith(f"{COOKIE}=")
        assert {"Secure", "HttpOnly", "Path=/", "SameSite=lax"} <= {part.strip() for part in kept.split(";")}
        assert "Domain" not in kept
        self.cookie = kept.partition(";")[0]
        return answer.headers["location"]

    async def log_in(self, address: str, account: str, **changed: str) -> dict[str, str]:
        """Log in there; what the way back carries."""
        parts = urlsplit(address)
        query = {key: values[0] for key, values in parse_qs(parts.query).items()} | changed
        assert query["code_challenge_method"] == "S256"
        url = f"{parts.scheme}://{parts.netloc}{parts.path}?{urlencode(query | {'login_hint': account})}"
        async with httpx2.AsyncClient() as browser:
            for _ in range(6):
                answer = await browser.get(url)
                url = str(httpx2.URL(url).join(answer.headers["location"]))
                if url.startswith("http://test/"):
                    return {key: values[0] for key, values in parse_qs(urlsplit(url).query).items()}
        raise AssertionError("no way back")

    async def back(self, name: str, carried: dict[str, str], accept: str = "application/json") -> httpx2.Response:
        """The way back."""
        headers = {"Cookie": self.cookie, "Accept": accept}
        return await self.client.get(f"/auth/oidc/{name}/callback", params=carried, headers=headers)

    async def whole(self, name: str, account: str) -> httpx2.Response:
        """Start, log in, come back."""
        return await self.back(name, await self.log_in(await self.start(name), account))


@pytest.fixture
def browser(client: httpx2.AsyncClient, admin: Person) -> Browser:
    """A fresh browser."""
    return Browser(client)


async def test_the_providers_are_listed(client: httpx2.AsyncClient, admin: Person) -> None:
    found = data(await client.get("/auth/oidc/providers"))
    assert found[0] == {"name": "school", "title": "School", "start": "/auth/oidc/school/start"}
    assert "secret" not in str(found)
    fault(await client.get("/auth/oidc/nobody/start"), 404)


async def test_the_rules_make_an_account_and_the_same_person_comes_back_to_it(
    browser: Browser, client: httpx2.AsyncClient
) -> None:
    answer = await browser.whole("school", "ada")
    assert answer.headers["cache-control"] == "no-store"
    user = data(answer)["user"]
    assert (user["role"], user["school_id"], user["email"]) == ("student", 1, "ada@pupils.example.org")
    assert user["name"] == "Ada Example"
    headers = {"Authorization": f"Bearer {answer.json()['data']['access_token']}"}
    assert data(await client.get("/api/v1/users/me", headers=headers))["id"] == user["id"]
    assert data(await browser.whole("school", "ada"))["user"]["id"] == user["id"]
    fault(await client.post("/auth/login", json={"email": user["email"], "password": ""}), 422)
    tom = data(await browser.whole("school", "tom"))["user"]
    assert (tom["role"], tom["name"]) == ("teacher", "tom")
    assert data(await browser.whole("school", "both"))["user"]["role"] == "student"


async def test_an_account_that_the_school_made_is_linked_once(
    browser: Browser, admin: Person, client: httpx2.AsyncClient
) -> None:
    user = await made_user(admin, email="linked@example.org", role="teacher")
    assert data(await browser.whole("strict", "linked"))["user"]["id"] == user["id"]
    data(await admin.call("PATCH", f"/api/v1/users/{user['id']}", json={"email": "moved@example.org"}))
    assert data(await browser.whole("strict", "linked"))["user"]["id"] == user["id"]
    data(await admin.call("PATCH", f"/api/v1/users/{user['id']}", json={"email": "linked@example.org"}))
    fault(await browser.whole("strict", "twin"), 403, "oidc_not_linked")


async def test_an_address_that_somebody_only_claimed_links_nothing(
    browser: Browser, client: httpx2.AsyncClient, record: Postgres
) -> None:
    body = {"name": "Eve", "email": "squatted@example.org", "password": PASSWORD, "school_id": 1}
    data(await client.post("/auth/register", json=body), 201)
    fault(await browser.whole("school", "squatted"), 403, "oidc_not_linked")
    assert await record.fetch("select 1 from external_identities where subject = 'squatted'") == []
    await record.fetch("update users set email_verified_at = now() where email = 'squatted@example.org'")
    data(await browser.whole("school", "squatted"))


@pytest.mark.parametrize(
    ("provider", "account", "code"),
    [
        ("school", "liar", "oidc_unverified"),
        ("school", "silent", "oidc_unverified"),
        ("school", "nobody", "oidc_unverified"),
        ("school", "guest", "oidc_domain"),
        ("strict", "unknown", "oidc_no_account"),
    ],
)
async def test_who_is_not_vouched_for_does_not_come_in(
    browser: Browser, record: Postgres, provider: str, account: str, code: str
) -> None:
    fault(await browser.whole(provider, account), 403, code)
    assert await record.fetch("select 1 from external_identities where subject = %s", [account]) == []


async def test_a_provider_reaches_into_its_own_school_only(
    browser: Browser, client: httpx2.AsyncClient, record: Postgres
) -> None:
    stranger = await register(client, "admin", school_name="Valley")
    user = await made_user(stranger, email="foreign@example.org")
    fault(await browser.whole("school", "foreign"), 403, "oidc_not_linked")
    left = data(await browser.whole("school", "leaver"))["user"]
    await record.fetch("update users set school_id = %s where id = %s", [user["school_id"], left["id"]])
    fault(await browser.whole("school", "leaver"), 403, "oidc_no_account")
    await record.fetch("update users set school_id = 1, disabled_at = now() where id = %s", [left["id"]])
    fault(await browser.whole("school", "leaver"), 403, "oidc_no_account")


async def test_a_way_back_works_once_in_the_browser_that_started(browser: Browser, client: httpx2.AsyncClient) -> None:
    carried = await browser.log_in(await browser.start("school"), "ada")
    fault(await Browser(client).back("school", carried), 401, "oidc_refused")
    victim = Browser(client)
    await victim.start("school")
    fault(await victim.back("school", carried), 401, "oidc_refused")
    data(await browser.back("school", carried))
    fault(await browser.back("school", carried), 401, "oidc_refused")


@pytest.mark.parametrize(
    "cheat",
    ["state", "no state", "no code", "nonce", "another flow's code", "another client's code", "another provider",
     "another issuer", "no issuer", "error", "cookie"],
)  # fmt: skip
async def test_a_cheat_on_the_way_is_refused(
    browser: Browser, client: httpx2.AsyncClient, record: Postgres, cheat: str
) -> None:
    before = await record.fetch("select count(*) as n from login_sessions")
    address, name = await browser.start("school"), "school"
    changed = {
        "nonce": {"nonce": "of the attacker"},
        "another client's code": {"client_id": _OTHER["client_id"]},
    }.get(cheat, {})
    carried = await browser.log_in(address, "ada", **changed)
    if cheat == "state":
        carried["state"] = carried["state"][:-1] + ("A" if carried["state"][-1] != "A" else "B")
    elif cheat == "no state":
        del carried["state"]
    elif cheat == "no code":
        del carried["code"]
    elif cheat == "another flow's code":
        other = Browser(client)
        carried["code"] = (await other.log_in(await other.start("school"), "tom"))["code"]
    elif cheat == "another provider":
        name = "strict"
    elif cheat == "another issuer":
        carried["iss"] = "https://attacker.example.org"
    elif cheat == "no issuer":
        del carried["iss"]
    elif cheat == "error":
        carried["error"] = "access_denied\r\nX: y"
    elif cheat == "cookie":
        browser.cookie = browser.cookie[:-6] + "AAAA=="
    fault(await browser.back(name, carried), 401, "oidc_refused")
    assert await record.fetch("select count(*) as n from login_sessions") == before


def _claims(rogue: Rogue, asked: str, **changed: Any) -> dict[str, Any]:
    moment = int(time.time())
    claims = {
        "iss": rogue.url,
        "sub": "rogue-ada",
        "aud": _CLIENT["client_id"],
        "nonce": asked,
        "iat": moment,
        "exp": moment + 60,
        "email": "rogue@example.org",
        "email_verified": True,
    }
    return {key: value for key, value in (claims | changed).items() if value is not None}


_LIES: dict[str, Any] = {
    "another issuer": {"iss": "https://accounts.example.org"},
    "another client": {"aud": "canteen"},
    "many clients without azp": {"aud": ["eduanalytics", "canteen"]},
    "made for another": {"azp": "canteen"},
    "another nonce": {"nonce": "x"},
    "no nonce": {"nonce": None},
    "no subject": {"sub": None},
    "no end": {"exp": None},
    "ended": {"exp": 1_000_000_000},
    "not yet": {"iat": 9_000_000_000},
}


async def _rogue_login(browser: Browser, rogue: Rogue, make: Any) -> httpx2.Response:
    address = await browser.start("rogue")
    query = {key: values[0] for key, values in parse_qs(urlsplit(address).query).items()}
    rogue.id_token = make(query["nonce"])
    return await browser.back("rogue", {"state": query["state"], "code": "x"})


async def test_an_honest_token_of_the_same_issuer_is_taken(browser: Browser, rogue_honest: Rogue) -> None:
    rogue = rogue_honest
    answer = await _rogue_login(browser, rogue, lambda nonce: _signed(rogue, _claims(rogue, nonce)))
    assert data(answer)["user"]["email"] == "rogue@example.org"


def _signed(rogue: Rogue, claims: dict[str, Any], **header: Any) -> str:
    return jwt.encode(claims, rogue.key, algorithm="ES256", headers={"kid": "one", **header})


@pytest.mark.parametrize("lie", _LIES)
async def test_a_token_with_a_lie_is_refused(browser: Browser, rogue_honest: Rogue, lie: str) -> None:
    rogue = rogue_honest
    answer = await _rogue_login(browser, rogue, lambda nonce: _signed(rogue, _claims(rogue, nonce, **_LIES[lie])))
    fault(answer, 401, "oidc_refused")


@pytest.mark.parametrize(
    "forgery", ["none", "client secret", "public key as secret", "another key", "unknown kid", "text", "null"]
)
async def test_a_forged_token_is_refused(browser: Browser, rogue_honest: Rogue, forgery: str) -> None:
    rogue = rogue_honest

    def make(nonce: str) -> Any:
        claims, head = _claims(rogue, nonce), {"kid": "one"}
        public = str(rogue.keys["keys"][0]["x"])
        made: dict[str, Callable[[], Any]] = {
            "none": lambda: jwt.encode(claims, "", algorithm="none", headers=head),
            "client secret": lambda: jwt.encode(claims, _CLIENT["client_secret"] * 2, algorithm="HS256", headers=head),
            "public key as secret": lambda: jwt.encode(claims, public, algorithm="HS256", headers=head),
            "another key": lambda: jwt.encode(
                claims, ec.generate_private_key(ec.SECP256R1()), algorithm="ES256", headers=head
            ),
            "unknown kid": lambda: _signed(rogue, claims, kid="two"),
            "text": lambda: "no token",
            "null": lambda: None,
        }
        return made[forgery]()

    fault(await _rogue_login(browser, rogue, make), 401, "oidc_refused")


def test_a_flow_ends_and_opens_with_our_key_alone() -> None:
    flow = Flow.begin("school")
    ours, theirs = (Sealer(byte * 32, FLOW_PURPOSE) for byte in (b"a", b"b"))
    assert Flow.of_cookie(ours, flow.cookie(ours)) == flow
    assert Flow.of_cookie(theirs, flow.cookie(ours)) is None
    assert Flow.of_cookie(ours, Flow("school", "s", "n", "v", int(time.time()) - 1).cookie(ours)) is None
    for text in ("", "x", "ü", "AAAA", flow.cookie(ours)[:-8]):
        assert Flow.of_cookie(ours, text) is None


async def test_a_browser_gets_the_refresh_cookie_and_goes_to_its_page(
    browser: Browser, client: httpx2.AsyncClient
) -> None:
    page = "/web/index.html?class=7&to=a%2Fb#top"
    for query, place in (({"next": page}, page), ({}, "/")):
        carried = await browser.log_in(await browser.start("school", **query), "ada")
        answer = await browser.back("school", carried, "text/html,application/xhtml+xml,*/*;q=0.8")
        assert (answer.status_code, answer.headers["location"], answer.content) == (303, place, b"")
        cookies = {kept.partition("=")[0]: kept for kept in answer.headers.get_list("set-cookie")}
        assert "Max-Age=0" in cookies[COOKIE]
        assert {"HttpOnly", "Secure", "SameSite=strict"} <= set(cookies[REFRESH].split("; "))
    own = {"Cookie": cookies[REFRESH].partition(";")[0], "Origin": "http://test"}
    token = data(await client.post("/auth/refresh", headers=own))["access_token"]
    sessions = data(await client.get("/api/v1/auth/sessions", headers={"Authorization": token}))
    assert [item["method"] for item in sessions if item["current"]] == ["oidc"]


@pytest.mark.parametrize(
    "page",
    ["https://evil.example", "//evil.example", "/\\evil.example", "\\/evil.example", "/\t/evil.example", "/a//b", "web",
     "", "javascript:alert(1)", "/\r\nX: y", "/ü", "/" + "x" * 600],
)  # fmt: skip
async def test_a_browser_is_sent_to_our_own_pages_only(client: httpx2.AsyncClient, admin: Person, page: str) -> None:
    fault(await client.get("/auth/oidc/school/start", params={"next": page}), 422)
