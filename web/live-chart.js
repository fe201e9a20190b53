// The spread of answers, and the leaderboard: lists that read well without seeing the bars.
import { bdi, el } from "./live-parts.js";
import { inWords, optionsOf } from "./live-room.js";
import { number, plural, t } from "./live-texts.js";

const MOST_ROWS = 12;

/** Rows for a spread: every option, or the answers that were typed; the key (null: not told) is marked. */
export function drawSpread(list, question, counts, key = null) {
  const rows = spread(question, counts);
  const whole = Math.max(1, ...rows.map(({ count }) => count));
  list.replaceChildren(...rows.map((row) => spreadRow(row, whole, isKey(question, row.key, key))));
}

function spread(question, counts) {
  const options = optionsOf(question, t("answer.true"), t("answer.false"));
  const several = question.question_type === "multiple_select";
  const known = several ? [] : options.map(({ key }) => key);
  const typed = Object.keys(counts).filter((key) => !known.includes(key)).sort((a, b) => counts[b] - counts[a]);
  return [...known, ...typed.slice(0, MOST_ROWS)].map((key) => ({ key, count: counts[key] ?? 0, text: words(question, key) }));
}

const words = (question, key) => inWords(question, key, t("answer.true"), t("answer.false"));

function isKey(question, answer, key) {
  if (key === null) return false;
  if (answer === key) return true;
  const parts = (text) => text.split(/[,;|]/).map((each) => each.trim()).sort().join();
  return words(question, answer) === words(question, key) || parts(answer) === parts(key);
}

function spreadRow({ count, text }, whole, right) {
  const bar = el("span", { className: "bar", aria: { hidden: "true" } });
  bar.style.setProperty("--share", count / whole);
  const mark = right ? [el("strong", { className: "right" }, `✓ ${t("answer.is_right")}`)] : [];
  return el("li", { className: right ? "key" : "" }, el("span", { className: "words" }, bdi(text), ...mark), bar,
    el("span", { className: "count" }, plural("answers", count)));
}

/** The teams, where there are any, and the best ten. */
export function drawLeaderboard(section, board) {
  section.hidden = !board?.places.length;
  if (section.hidden) return;
  drawPlaces(section.querySelector(".teams"), board.teams);
  drawPlaces(section.querySelector(".people"), board.places);
}

function drawPlaces(table, places) {
  table.hidden = !places.length;
  table.querySelector("tbody").replaceChildren(...places.map(({ rank, name, points }) => el("tr", {},
    el("td", {}, number(rank)), el("th", { scope: "row" }, bdi(name)), el("td", {}, number(points)))));
}
