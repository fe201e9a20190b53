// A client of /ws/quiz for browsers (and node), without dependencies: comes back by itself, misses nothing, knows the
// server's clock. The contract is docs/reference/asyncapi.yaml.
//
//   const quiz = new LiveClient(url, () => freshToken(), { join_code: "K7QM2XPA", nickname: "Ada" });
//   quiz.addEventListener("question_displayed", ({ detail }) => draw(detail));   // one event a frame, by its name
//   quiz.addEventListener("status", ({ detail }) => …);                          // connecting | open | away | closed
//   quiz.connect();
//   const ack = await quiz.answer(45, "B");
//
// Log frames (those with `off`) come once each and in order, whatever happened to the connection between. `off: 0` beside
// a `session_id` gives the whole log from the beginning. A token function that rejects with `final: true` ends it (4500).

const SUBPROTOCOL = "edu.live.v1";
const FIRST_MS = 250;
const LONGEST_MS = 8000;
const PROBES = 5;
const SILENT_PINGS = 2.5;

/** Whether a client that was closed with this code should come back. */
export const comesBack = (code) => code !== 1000 && code < 4500;

/** How long to wait before coming back: what the server says, or a random part of a time that doubles. */
export function pauseMs(code, reason, tries, chance = Math.random()) {
  const told = /^retry_ms=(\d+)$/.exec(reason ?? "");
  if (code === 4011 && told) return Number(told[1]);
  return chance * Math.min(LONGEST_MS, FIRST_MS * 2 ** tries);
}

export class LiveClient extends EventTarget {
  #url; #token; #where; #socket = null; #asked = new Map(); #ids = 0; #tries = 0; #timer = null; #watch = null;
  #offset = 0; #leastMs = Infinity; #stopped = false; #WebSocket;
  off = 0;
  joined = null;

  /** `token`: the access token, or a function that gives a fresh one (perhaps later). */
  constructor(url, token, where = {}, { WebSocket = globalThis.WebSocket } = {}) {
    super();
    this.#url = url;
    this.#token = typeof token === "function" ? token : () => token;
    this.#where = where;
    this.off = where.off ?? 0;
    this.#WebSocket = WebSocket;
  }

  /** The server's clock in ms since 1970. */
  now() { return Date.now() + this.#offset; }

  connect() {
    this.#stopped = false;
    this.#tell("status", { status: "connecting", tries: this.#tries });
    const socket = new this.#WebSocket(this.#url, SUBPROTOCOL);
    this.#socket = socket;
    socket.onopen = () => this.#knock(socket);
    socket.onmessage = ({ data }) => this.#hear(JSON.parse(data));
    socket.onclose = ({ code, reason }) => socket === this.#socket && this.#closed(code, reason);
    socket.onerror = () => {};
  }

  /** The network is back (the browser says so): do not wait any longer. */
  hurry() {
    if (this.#socket !== null || this.#stopped || this.#timer === null) return;
    clearTimeout(this.#timer);
    this.connect();
  }

  /** The browser says that the network is gone: do not wait until the silence tells. */
  lost() { this.#drop(this.#socket); }

  /** Leave for good. */
  leave() {
    this.#stopped = true;
    clearTimeout(this.#timer);
    if (this.#socket?.readyState === 1) this.#socket.send('{"event":"leave"}');
    else this.#socket?.close();
  }

  /** Answer; sent again after a broken connection, it counts once. Resolves with the acknowledgement. */
  answer(question_id, answer) {
    const key = `${Date.now().toString(36)}-${Math.random().toString(36).slice(2)}`;
    return this.ask("answer_submitted", { question_id, answer, key });
  }

  /** Send a frame; resolves with what the server answers to it, rejects with its `error` frame. */
  ask(event, fields = {}) {
    const id = ++this.#ids;
    const text = JSON.stringify({ event, id, ...fields });
    return new Promise((resolve, reject) => {
      this.#asked.set(id, { text, resolve, reject });
      if (this.#isIn()) this.#socket.send(text); // else it is sent when we are in again
    });
  }

  #isIn() { return this.#socket?.readyState === 1 && this.#socket.isIn; }

  async #join() {
    const token = await this.#token();
    const where = this.joined ? { session_id: this.joined.session_id, off: this.off } : this.#where;
    return { event: "join", token, ...where };
  }

  async #knock(socket) {
    try {
      const join = JSON.stringify(await this.#join());
      if (socket.readyState === 1) socket.send(join);
    } catch (error) {
      socket.close();
      if (socket === this.#socket) this.#closed(error.final ? 4500 : 1006, error.message);
    }
  }

  #hear(frame) {
    this.#listenFor(frame.ping_s ?? this.joined?.ping_s);
    if (frame.event === "ping") this.#socket.send(JSON.stringify({ event: "pong", nonce: frame.nonce }));
    else if (frame.event === "joined") this.#comeIn(frame);
    else if (this.#asked.has(frame.id)) this.#answered(frame);
    else if ("off" in frame) this.#happened(frame);
    else this.#tell(frame.event, frame);
  }

  /** A wire that is cut without a word: when no ping has come for so long, come back on another one. */
  #listenFor(seconds) {
    clearTimeout(this.#watch);
    const socket = this.#socket;
    if (seconds) this.#watch = setTimeout(() => this.#drop(socket), seconds * 1000 * SILENT_PINGS);
  }

  #drop(socket) {
    if (socket === null || socket !== this.#socket) return;
    this.#closed(1006, "silent");
    socket.close();
  }

  #comeIn(frame) {
    const missed = frame.recovered ? frame.log : [];
    this.joined = frame;
    this.#socket.isIn = true;
    this.#tries = 0;
    if (!frame.recovered) this.off = frame.off;
    if (this.#leastMs === Infinity) this.#offset = frame.server_ms - Date.now(); // until the first probe is back
    this.#tell("status", { status: "open" });
    this.#tell("joined", frame);
    missed.forEach((event) => this.#happened(event));
    for (const { text } of this.#asked.values()) this.#socket.send(text);
    for (let probe = 0; probe < PROBES; probe++) setTimeout(() => this.#isIn() && this.#measure(), probe * 100);
  }

  #happened(frame) {
    if (frame.off === this.off + 1) {
      this.off += 1;
      this.#tell(frame.event, frame);
    } else if (frame.off > this.off) {
      this.#socket.close(4010, "resync"); // a gap: come back and read what is missing
    }
  }

  #answered(frame) {
    const { resolve, reject } = this.#asked.get(frame.id);
    this.#asked.delete(frame.id);
    if (frame.event === "error") reject(frame);
    else resolve(frame);
  }

  async #measure() {
    const began = Date.now();
    const frame = await this.ask("sync").catch(() => null);
    const took = Date.now() - began;
    if (frame && took >= 0 && took < this.#leastMs) {
      this.#leastMs = took;
      this.#offset = frame.server_ms - (began + took / 2);
    }
  }

  #closed(code, reason) {
    clearTimeout(this.#watch);
    this.#socket = null;
    if (this.#stopped || !comesBack(code)) {
      for (const { reject } of this.#asked.values()) reject({ event: "error", code: "closed", message: reason });
      this.#asked.clear();
      this.#tell("status", { status: "closed", code, reason });
      return;
    }
    const wait = pauseMs(code, reason, this.#tries++);
    this.#tell("status", { status: "away", code, reason, wait });
    this.#timer = setTimeout(() => this.connect(), wait);
  }

  #tell(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
    if (name !== "status") this.dispatchEvent(new CustomEvent("frame", { detail }));
  }
}
