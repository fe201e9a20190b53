// The countdown, by the server's clock. It is spoken at a few moments only.
import { $, announce, put } from "./live-parts.js";
import { plural, t } from "./live-texts.js";

const SPOKEN = [30, 10, 5];
const TICK_MS = 200;

/** Draws every moment the time that `asked()` has left; `now()` is the server's clock. */
export function startClock(asked, now) {
  let spoken = null;
  setInterval(() => {
    const question = asked();
    const left = question && leftMs(question, now());
    show(question, left);
    const seconds = left === null ? null : Math.ceil(left / 1000);
    const isNews = spoken !== null && seconds !== spoken && SPOKEN.includes(seconds);
    if (isNews && question.open) announce(plural("clock.left", seconds));
    spoken = seconds;
  }, TICK_MS);
}

/** How much time is left in ms; null without a limit. */
export function leftMs({ closesAt, leftMs: paused }, now) {
  if (paused !== null) return paused;
  return closesAt === null ? null : Math.max(0, closesAt - now);
}

function show(question, left) {
  $("clock").hidden = !question || left === null || !["open", "paused"].includes(stateOf(question));
  if ($("clock").hidden) return;
  const seconds = Math.ceil(left / 1000);
  const clock = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
  put($("clock-text"), question.leftMs === null ? clock : t("clock.paused", { left: clock }));
  const whole = Math.max(left, question.closesAt === null ? left : question.closesAt - question.opensAt);
  $("clock-bar").max = Math.max(1, whole);
  $("clock-bar").value = left;
  $("clock").classList.toggle("urgent", seconds <= 5 && question.leftMs === null);
}

const stateOf = (question) => (question.open ? "open" : question.leftMs !== null ? "paused" : "closed");
