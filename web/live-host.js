// /live/host: the teacher's page. Log-in → class, quiz, rules → code and lobby → questions → report.
import { Account, logInForm } from "./live-account.js";
import { drawLeaderboard, drawSpread } from "./live-chart.js";
import { LiveClient } from "./live-client.js";
import { startClock } from "./live-clock.js";
import { drawCommands, isSure, makeCommands, seconds } from "./live-commands.js";
import { $, announce, bdi, complain, el, faultText, lead, put, showConnection, turnTo } from "./live-parts.js";
import { qrDrawing } from "./live-qr.js";
import { saveReport, showReport } from "./live-report.js";
import { current, fold, inWords, opening } from "./live-room.js";
import { fillSetup, openRoom } from "./live-setup.js";
import { has, number, offerLanguages, plural, t } from "./live-texts.js";

const LOGGED_OUT = [4500, 4501];
const account = new Account();
let quiz = null;
let room = null;
let gone = null;
let waiting = null; // what gets the focus when the room is drawn next

// ---------------------------------------------------------------- coming in

const place = () => Object.fromEntries(new URLSearchParams(location.hash.slice(1)));

async function loggedIn() {
  $("who").hidden = !account.user;
  put($("who-name"), account.user?.name ?? "");
  if (!account.user) return turnTo("log-in");
  if (place().session) return enter(place());
  turnTo("setup");
  await fillSetup(account).catch((fault) => complain($("setup-fault"), fault));
  $("setup").elements.classroom.focus();
}

async function open(event) {
  event.preventDefault();
  complain($("setup-fault"), null);
  try {
    const { session, code, fresh } = await openRoom(account);
    history.replaceState(null, "", `#${new URLSearchParams({ session, code })}`);
    enter(place());
    put($("told"), fresh ? "" : t("setup.already_open"));
  } catch (fault) {
    complain($("setup-fault"), fault);
  }
}

function enter({ session }) {
  quiz?.leave();
  room = gone = null;
  const scheme = location.protocol === "https:" ? "wss" : "ws";
  const where = { session_id: Number(session), off: 0 };
  const client = new LiveClient(`${scheme}://${location.host}/ws/quiz`, () => account.token(), where);
  quiz = client;
  client.addEventListener("status", ({ detail }) => client === quiz && status(detail));
  client.addEventListener("frame", ({ detail }) => client === quiz && frame(detail));
  account.renewed = (token) => client.ask("refresh", { token }).catch(() => {});
  client.connect();
}

function status(detail) {
  showConnection(detail);
  if (detail.status === "open") announce(t("connection.open"));
  if (detail.status === "closed" && room?.phase !== "ended") closed(detail.code);
}

function closed(code) {
  gone = { code: `close_${code}` };
  if (!LOGGED_OUT.includes(code)) return draw();
  account.forget();
  loggedIn();
  complain($("log-in-fault"), gone);
}

function frame(detail) {
  if (detail.event === "error") return complain($("room-fault"), detail);
  if (detail.event === "joined" && detail.role !== "teacher") return location.assign(`/live/join${location.hash}`);
  room = detail.event === "joined" ? opening(detail, room) : room && fold(room, detail);
  if (room) queueMicrotask(draw);
}

// ---------------------------------------------------------------- drawing

function draw() {
  if (gone) {
    if (turnTo("away")) lead($("away-heading"));
    return put($("away-heading"), faultText(gone));
  }
  if (!room) return;
  const isNew = turnTo("room");
  drawInvitation();
  drawCommands(room);
  drawQuestion();
  drawInsight();
  drawLeaderboard($("leaderboard"), ["revealed", "ended"].includes(room.phase) ? room.leaderboard : null);
  drawPeople();
  drawPlan();
  $("after").hidden = room.phase !== "ended" || !room.started;
  tellPhase();
  if (isNew) lead($("invite").querySelector("h2"));
  if (waiting && !waiting.closest("[hidden]")) lead(waiting);
  waiting = null;
}

let told = null;

/** What has just happened, in words. */
function tellPhase() {
  const sign = `${room.phase}/${room.question?.question_id}/${room.question?.run}`;
  if (told !== sign && told !== null) put($("told"), t(`phase.${room.phase}`));
  told = sign;
}

let invited = null;

function drawInvitation() {
  const { code } = room;
  $("invite").hidden = room.phase === "ended";
  document.body.dataset.phase = room.phase;
  put($("quiz-title"), room.title);
  if (invited === document.documentElement.lang + code) return;
  invited = document.documentElement.lang + code;
  const address = `${location.origin}/live/join`;
  put($("address"), address.replace(/^https?:\/\//, ""));
  put($("code"), code);
  $("qr").replaceChildren(qrDrawing(`${address}#code=${code}`, t("invite.qr")));
}

function drawQuestion() {
  const question = current(room);
  $("asked").hidden = !question;
  if (!question) return;
  put($("place"), t("question.place", { number: number(question.position), of: number(room.questions.length) }));
  put($("question"), question.question_text);
  const { histogram } = room;
  const revealed = room.phase === "revealed" ? room.revealed : null;
  const counts = revealed?.histogram ?? (isCurrent(histogram) ? histogram.counts : {});
  drawSpread($("spread"), question, counts, revealed?.answer_key ?? null);
  const answered = revealed?.answered ?? (isCurrent(histogram) ? histogram.answered : 0);
  put($("count"), histogram ? t("question.count", { count: number(answered), of: number(histogram.of) }) : "");
}

const isCurrent = (state) => state !== null && state.question_id === room.question?.question_id;

function drawInsight() {
  const { insight } = room;
  const shown = isCurrent(insight) && ["question", "paused", "locked", "revealed"].includes(room.phase);
  $("insight").hidden = !shown;
  if (!shown) return;
  const names = insight.waiting.map((id) => bdi(room.names.get(id) ?? `#${id}`));
  $("waiting").replaceChildren(...(names.length ? commas(names) : [t("insight.nobody")]));
  const wrong = insight.top_wrong && inWords(room.question, insight.top_wrong, t("answer.true"), t("answer.false"));
  $("top-wrong").replaceChildren(...(wrong ? [bdi(wrong), ` (${number(insight.top_wrong_count)})`] : [t("insight.none")]));
  const { history } = insight;
  const known = history && history.accuracy !== null;
  put($("history"), known
    ? t("insight.before", { accuracy: number(history.accuracy, true), count: number(history.answers) }) : t("insight.unknown"));
}

const commas = (nodes) => nodes.flatMap((node, i) => (i ? [", ", node] : [node]));

function drawPeople() {
  put($("here-heading"), plural("people.here", room.students.length));
  const done = room.progress?.done ?? {};
  rows($("here"), room.students, (student) => personRow(student, done[student.user_id]));
  $("out").hidden = !room.kicked.length;
  rows($("kicked"), room.kicked.map((user_id) => ({ user_id, name: room.names.get(user_id) ?? `#${user_id}` })), outRow);
}

/** Rows by person; those that are there already stay, with the focus in them. */
function rows(list, people, make) {
  const before = new Map([...list.children].map((row) => [row.sign, row]));
  const wanted = people.map((person) => {
    const row = make(person);
    row.sign = `${person.user_id} ${row.outerHTML}`;
    return before.get(row.sign) ?? row;
  });
  if (wanted.length !== list.children.length || wanted.some((row, i) => row !== list.children[i])) list.replaceChildren(...wanted);
}

function personRow({ user_id, name, nickname, team }, done) {
  const button = el("button", { type: "button", className: "small" }, t("people.kick"));
  button.setAttribute("aria-label", t("people.kick_name", { name }));
  button.addEventListener("click", async () => {
    if (await isSure(t("people.kick_sure", { name }))) say("student_kicked", { user_id }, $("here-heading"));
  });
  const parts = [bdi(name), ...(nickname ? [" (", bdi(nickname), ")"] : [])];
  if (team) parts.push(", ", bdi(team));
  if (room.progress) parts.push(` ${number(done ?? 0)}/${number(room.progress.of)}`);
  return el("li", {}, el("span", {}, ...parts), button);
}

function outRow({ user_id, name }) {
  const button = el("button", { type: "button", className: "small" }, t("people.allow"));
  button.setAttribute("aria-label", t("people.allow_name", { name }));
  button.addEventListener("click", () => say("student_allowed", { user_id }, $("here-heading")));
  return el("li", {}, bdi(name), button);
}

let planned = null;

function drawPlan() {
  $("plan").hidden = room.rules.mode !== "teacher" || room.phase === "ended";
  const sign = JSON.stringify([[...room.asked], room.phase === "lobby", document.documentElement.lang]);
  if (planned === sign) return;
  planned = sign;
  rows($("questions"), room.questions.map((each) => ({ ...each, user_id: each.question_id })), planRow);
}

function planRow({ question_id, question_text }) {
  const asked = room.asked.get(question_id);
  const text = el("span", { dir: "auto" }, question_text);
  if (asked) return el("li", {}, text, " ", el("em", {}, t(`plan.${asked}`)));
  const button = el("button", { type: "button", className: "small" }, t("plan.show"));
  button.setAttribute("aria-label", t("plan.show_text", { text: question_text }));
  button.hidden = room.phase === "lobby";
  button.addEventListener("click", () => say("question_displayed", { question_id, ...seconds() }, $("question")));
  return el("li", {}, text, button);
}

// ---------------------------------------------------------------- commands

/** Say a command; `next` gets the focus where the button that was pressed goes away. */
async function say(event, fields = {}, next = null) {
  complain($("room-fault"), null);
  try {
    waiting = next;
    await quiz.ask(event, fields);
  } catch (fault) {
    complain($("room-fault"), fault);
  }
}

async function obey(command) {
  if (command.sure && !(await isSure(t("sure.end")))) return;
  if (command.when(room)) say(...command.say(room));
}

// ---------------------------------------------------------------- begin

function translated() {
  planned = null;
  if (!$("setup").closest("section").hidden) fillSetup(account).catch(() => {});
  if (room && has(`phase.${room.phase}`) && $("told").textContent) put($("told"), t(`phase.${room.phase}`));
  draw();
}

makeCommands(obey);
$("setup").addEventListener("submit", open);
$("report-open").addEventListener("click", () => showReport(account, room));
$("report-save").addEventListener("click", () => saveReport(account, room));
$("another").addEventListener("click", () => {
  history.replaceState(null, "", location.pathname);
  location.reload();
});
$("again").addEventListener("click", () => (place().session ? enter(place()) : loggedIn()));
$("log-out").addEventListener("click", async () => {
  quiz?.leave();
  await account.logOut();
  location.assign(location.pathname);
});
window.addEventListener("online", () => quiz?.hurry());
window.addEventListener("offline", () => quiz?.lost());
document.addEventListener("visibilitychange", () => document.hidden || quiz?.hurry());
startClock(() => (room && !gone ? current(room) : null), () => quiz.now());
logInForm(account, loggedIn);
await offerLanguages($("language"), translated);
await account.resume();
loggedIn();
