// /live/join: a pupil's page. Log-in → code → lobby → questions → end; a connection that breaks comes back by itself.
import { Account, logInForm } from "./live-account.js";
import { drawForm, mark, recall } from "./live-answer.js";
import { drawLeaderboard, drawSpread } from "./live-chart.js";
import { LiveClient } from "./live-client.js";
import { startClock } from "./live-clock.js";
import { $, announce, bdi, complain, faultText, lead, put, showConnection, turnTo } from "./live-parts.js";
import { current, fold, inWords, opening } from "./live-room.js";
import { number, offerLanguages, plural, t } from "./live-texts.js";

const LOGGED_OUT = 4500;
const REVOKED = 4501;
const account = new Account();
let quiz = null;
let room = null;
let nickname = "";
let own = nothing(); // what was done with the question that is shown
let refused = null; // what was said at the door
let ended = null; // why we are out, if we are

function nothing(mark = null) {
  return { mark, answer: null, kept: null, status: null };
}

// ---------------------------------------------------------------- coming in

function code() {
  return new URLSearchParams(location.hash.slice(1)).get("code") ?? "";
}

function atTheDoor() {
  $("who").hidden = !account.user;
  if (account.user) put($("who-name"), account.user.name);
  $("enter").elements.code.value = code();
  turnTo(account.user ? "code" : "log-in");
}

async function loggedIn() {
  atTheDoor();
  if (code()) come(code());
  else $("enter").elements.code.focus();
}

function come(join_code) {
  history.replaceState(null, "", `#${new URLSearchParams({ code: join_code })}`);
  quiz?.leave();
  room = refused = ended = null;
  own = nothing();
  const scheme = location.protocol === "https:" ? "wss" : "ws";
  const client = new LiveClient(`${scheme}://${location.host}/ws/quiz`, () => account.token(), {
    join_code, ...(nickname ? { nickname } : {}),
  });
  quiz = client;
  const listen = (name, hear) => client.addEventListener(name, ({ detail }) => client === quiz && hear(detail));
  listen("status", status);
  listen("frame", frame);
  account.renewed = (token) => client.ask("refresh", { token }).catch(() => {});
  client.connect();
}

function status(detail) {
  showConnection(detail);
  if (detail.status === "open") announce(t("connection.open"));
  if (detail.status === "away") announce(t("connection.away"));
  if (detail.status === "closed" && room?.phase !== "ended") goneForGood(detail);
  else if (own.status === "sending") draw();
}

function goneForGood({ code: closed }) {
  const reason = { code: `close_${closed}` };
  if (closed === LOGGED_OUT || closed === REVOKED) {
    account.forget();
    room = null;
    atTheDoor();
    complain($("log-in-fault"), reason);
  } else if (room) {
    ended = reason;
    draw();
  } else {
    atTheDoor();
    complain($("enter-fault"), refused ?? reason);
    $("enter").elements.code.focus();
  }
}

function frame(detail) {
  if (detail.event === "error") {
    if (!room) complain($("enter-fault"), (refused = detail));
    return;
  }
  if (detail.event === "joined" && detail.role === "teacher") return location.assign(hostPage(detail));
  room = detail.event === "joined" ? opening(detail, room) : room && fold(room, detail);
  if (room) queueMicrotask(drawIfNew);
}

const hostPage = ({ session_id: session }) => `/live/host#${new URLSearchParams({ session, code: code() })}`;

// ---------------------------------------------------------------- drawing

let shown = "";

function drawIfNew() {
  const state = JSON.stringify([room.phase, room.off, room.turn, room.result, room.leaderboard, room.host, own, ended]);
  if (state === shown) return;
  shown = state;
  draw();
}

function draw() {
  if (!room) return atTheDoor();
  drawLeaderboard($("leaderboard"), ["revealed", "ended"].includes(room.phase) ? room.leaderboard : null);
  if (ended) return drawAway();
  if (room.phase === "ended") return drawEnd();
  const question = current(room);
  if (question) return drawQuestion(question);
  return drawWait();
}

function drawAway() {
  turnTo("away");
  put($("away-heading"), faultText(ended));
  lead($("away-heading"));
}

function drawWait() {
  const isNew = turnTo("wait");
  const through = room.turn && room.phase === "started";
  const key = through ? "wait.through" : room.phase === "lobby" ? "wait.lobby" : "wait.next";
  put($("wait-title"), room.title);
  $("wait-team").hidden = !room.team;
  if (room.team) $("wait-team").replaceChildren(t("wait.team"), " ", bdi(room.team));
  $("wait-heading").replaceChildren(t("wait.hello"), " ", bdi(room.name));
  const changed = put($("wait-text"), `${t(key)} ${room.host ? "" : t("wait.no_teacher")}`);
  if (isNew) lead($("wait-heading"));
  if (isNew || changed) announce($("wait-text").textContent);
}

function drawEnd() {
  const isNew = turnTo("end");
  const { result } = room;
  const rank = result?.rank ? t("result.rank", { rank: number(result.rank) }) : "";
  const changed = put($("end-text"), result ? `${plural("result.total", result.total)} ${rank}` : "");
  if (isNew) lead(document.querySelector("[data-screen=end] h2"));
  if (changed) announce($("end-text").textContent);
}

function drawQuestion(question) {
  const sign = `${question.question_id}/${question.run}`;
  const isOther = own.mark !== sign;
  if (isOther) begin(question, sign);
  const isNew = turnTo("question") || isOther;
  put($("place"), t("question.place", placeOf(question)));
  put($("state"), stateText(question));
  mark($("answer"), own.answer, isOpen(question));
  drawSolution(question);
  if (isNew) lead($("question"));
}

function placeOf({ position }) {
  const of = room.turn ? room.turn.of : room.started?.questions;
  return { number: number(room.turn ? room.turn.done + 1 : position), of: number(of ?? position) };
}

function begin(question, sign) {
  own = nothing(sign);
  put($("question"), question.question_text);
  drawForm($("answer"), question, (answer) => submit(question, answer));
  if (room.chosen !== null) {
    own.answer = room.chosen;
    own.kept = room.chosen;
    recall($("answer"), room.chosen);
  }
}

/** The form in another language; what was typed or ticked stays. */
function translated() {
  const question = room && !ended ? current(room) : null;
  const typed = $("answer").elements.answer?.value ?? [own.answer ?? []].flat().join(",");
  if (question) {
    drawForm($("answer"), question, (answer) => submit(question, answer));
    recall($("answer"), typed);
  }
  draw();
}

const hasAnswered = (question) => own.status !== null || room.answered.has(question.question_id);
const isFinal = (question) => hasAnswered(question) && !room.rules.changes && own.status !== "refused";
const isOpen = (question) => question.open && !isFinal(question);

function stateText(question) {
  if (own.status === "refused") return own.text;
  if (own.status === "sending") return t(document.body.dataset.connection === "open" ? "state.sending" : "state.kept");
  if (room.phase === "paused") return t("state.paused");
  if (["locked", "revealed"].includes(room.phase)) return t(hasAnswered(question) ? "state.locked" : "state.missed");
  if (!hasAnswered(question)) return "";
  return t(room.rules.changes ? "state.changeable" : "state.sent");
}

function drawSolution(question) {
  const told = room.phase === "revealed" ? room.revealed : null;
  $("solution").hidden = !told;
  $("answer").hidden = Boolean(told);
  if (!told) return;
  drawSpread($("spread"), question, told.histogram, told.answer_key);
  const result = room.result?.question_id === question.question_id ? room.result : null;
  const key = told.answer_key;
  const right = key === null ? "" : t("result.key", { key: inWords(question, key, t("answer.true"), t("answer.false")) });
  $("verdict").className = result ? verdictOf(question, result) : "";
  if (put($("verdict"), `${result ? resultText(question, result) : ""} ${right}`)) announce($("verdict").textContent);
}

function verdictOf(question, { correct }) {
  if (!hasAnswered(question)) return "none";
  return correct === null ? "unknown" : correct ? "right" : "wrong";
}

function resultText(question, result) {
  const texts = [t(`result.${verdictOf(question, result)}`), plural("result.points", result.points),
    plural("result.total", result.total)];
  if (result.rank) texts.push(t("result.rank", { rank: number(result.rank) }));
  return texts.join(" ");
}

// ---------------------------------------------------------------- answering

async function submit(question, answer) {
  if (!isOpen(question) && current(room)?.question_id === question.question_id) return;
  const mine = own;
  Object.assign(mine, { answer, status: "sending" });
  draw();
  try {
    const ack = await quiz.answer(question.question_id, answer);
    const kept = ["accepted", "changed", "duplicate"].includes(ack.status);
    Object.assign(mine, kept ? { status: ack.status } : { status: "refused", text: t(`refused.${ack.status}`) });
    if (kept) mine.kept = answer;
    if (kept && mine === own) room.answered.add(question.question_id);
  } catch (fault) {
    Object.assign(mine, { status: "refused", text: faultText(fault) });
  }
  mine.answer = mine.kept;
  if (mine === own) draw();
}

// ---------------------------------------------------------------- begin

$("enter").addEventListener("submit", (event) => {
  event.preventDefault();
  nickname = $("enter").elements.nickname.value.trim();
  complain($("enter-fault"), null);
  come($("enter").elements.code.value.trim().toUpperCase());
});
$("log-out").addEventListener("click", async () => {
  quiz?.leave();
  quiz = room = null;
  await account.logOut();
  location.reload();
});
$("again").addEventListener("click", () => come(code()));
window.addEventListener("online", () => quiz?.hurry());
window.addEventListener("offline", () => quiz?.lost());
document.addEventListener("visibilitychange", () => document.hidden || quiz?.hurry());
startClock(() => (room && !ended ? current(room) : null), () => quiz.now());
logInForm(account, loggedIn);
await offerLanguages($("language"), translated);
if (await account.resume()) loggedIn();
else atTheDoor();
