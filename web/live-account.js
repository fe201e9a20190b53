// Who uses the page. The access token lives in memory only; the refresh token is a cookie that no script reads
// (where the page came over plain HTTP browsers keep no such cookie: then it lives in memory, too).
import { $, complain } from "./live-parts.js";

const EARLY_MS = 60_000;
const PATIENCE_MS = 15_000;

/** What the server refused; `final`: trying again is of no use. */
export class Fault extends Error {
  constructor(code, message, status, details = {}) {
    super(message);
    Object.assign(this, { code, details, final: status === 401 || status === 403 });
  }
}

export class Account {
  #access = null; #refresh = null; #until = 0; #renewing = null; #timer = null;
  user = null;
  /** Called with each token after the first. */
  renewed = () => {};

  async logIn(email, password, new_password) {
    const cookie = isSecureContext;
    const body = { email, password, ...(new_password ? { new_password } : {}) };
    const pair = await send("POST", `/auth/login?cookie=${cookie}`, { body });
    this.user = pair.user;
    this.#keep(pair);
  }

  /** Go on with the log-in that the browser remembers; false if there is none. */
  async resume() {
    try {
      await this.#renew();
      this.user = await this.call("GET", "/api/v1/users/me");
      return true;
    } catch {
      return false;
    }
  }

  async logOut() {
    await this.call("POST", "/auth/logout").catch(() => {});
    this.forget();
  }

  /** The log-in has ended: know nobody. */
  forget() {
    clearTimeout(this.#timer);
    this.#access = this.#refresh = this.user = null;
    this.#until = 0;
  }

  /** A token that is good for a while. */
  async token() {
    if (Date.now() > this.#until - EARLY_MS / 2) await this.#renew();
    return this.#access;
  }

  async call(method, path, body) {
    return send(method, path, { body, token: await this.token() });
  }

  /** The answer itself, for what is no JSON. */
  async fetch(path) {
    return fetch(path, { headers: { Authorization: `Bearer ${await this.token()}` } });
  }

  #renew() {
    this.#renewing ??= this.#renewOnce().finally(() => { this.#renewing = null; });
    return this.#renewing;
  }

  async #renewOnce() {
    const body = this.#refresh ? { refresh_token: this.#refresh } : undefined;
    const pair = await send("POST", "/auth/refresh", { body });
    const is = subject(pair.access_token);
    if (this.user && is !== String(this.user.id)) throw new Fault("somebody_else", "", 401); // another tab logged in
    this.#keep(pair);
    this.renewed(pair.access_token);
  }

  #keep({ access_token, refresh_token, expires_in }) {
    const lasts = expires_in * 1000;
    this.#access = access_token;
    this.#refresh = refresh_token;
    this.#until = Date.now() + lasts;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#renew().catch(() => {}), Math.max(lasts - EARLY_MS, lasts / 2));
  }
}

const subject = (token) => JSON.parse(atob(token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/"))).sub;

async function send(method, path, { body, token }) {
  const headers = { ...(body ? { "Content-Type": "application/json" } : {}) };
  if (token) headers.Authorization = `Bearer ${token}`;
  const options = { method, headers, body: body && JSON.stringify(body), signal: AbortSignal.timeout(PATIENCE_MS) };
  const { status, answer } = await asked(path, options);
  if (!answer.success) throw new Fault(answer.error.code, answer.message, status, answer.error.details);
  return answer.data;
}

async function asked(path, options) {
  try {
    const response = await fetch(path, options);
    return { status: response.status, answer: await response.json() };
  } catch {
    throw new Fault("unavailable", "", 503); // no network, no server, or one that does not answer
  }
}

/** The log-in form of both pages; `done` comes after each log-in. */
export function logInForm(account, done) {
  const form = $("log-in");
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const value = (name) => form.elements[name].value;
    complain($("log-in-fault"), null);
    try {
      await account.logIn(value("email"), value("password"), value("new_password"));
      form.reset();
      await done();
    } catch (fault) {
      if (fault.code === "password_change_required") $("new-password").hidden = false;
      complain($("log-in-fault"), fault);
    }
  });
}
