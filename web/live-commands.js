// The teacher's buttons: which of them make sense now, and what each one says to the room.
import { $, el } from "./live-parts.js";
import { t } from "./live-texts.js";

const EXTRA_SECONDS = 15;
const OPEN = ["question", "paused"];
const limited = (room) => room.closesAt !== null || room.leftMs !== null;
const led = (room) => room.rules.mode === "teacher";
const between = (room) => ["started", "revealed", "skipped", "locked"].includes(room.phase);

/** Name → when it is offered, what is said, and whether it is the usual next step. */
const COMMANDS = {
  start: { when: (room) => room.phase === "lobby", main: () => true, say: () => ["quiz_started"] },
  lock: { when: (room) => led(room) && OPEN.includes(room.phase), main: () => true, say: () => ["question_locked"] },
  reveal: { when: (room) => room.phase === "locked", main: () => true, say: () => ["question_revealed"] },
  next: { when: (room) => led(room) && between(room) && unasked(room) !== undefined, main: (room) => room.phase !== "locked",
    say: (room) => ["question_displayed", { question_id: unasked(room).question_id, ...seconds() }] },
  pause: { when: (room) => led(room) && room.phase === "question", say: () => ["question_paused"] },
  resume: { when: (room) => room.phase === "paused", main: () => true, say: () => ["question_resumed"] },
  extend: { when: (room) => led(room) && OPEN.includes(room.phase) && limited(room),
    say: () => ["question_extended", { seconds: EXTRA_SECONDS }] },
  skip: { when: (room) => led(room) && [...OPEN, "locked"].includes(room.phase), say: () => ["question_skipped"] },
  restart: { when: (room) => led(room) && [...OPEN, "locked", "skipped"].includes(room.phase),
    say: (room) => ["question_restarted", { question_id: room.question.question_id, ...seconds() }] },
  end: { when: (room) => room.phase !== "ended", main: (room) => led(room) && room.phase === "revealed" && !unasked(room),
    sure: true, say: () => ["quiz_ended"] },
};

/** The next question that has not been asked. */
export const unasked = (room) => room.questions.find(({ question_id }) => !room.asked.has(question_id));

/** The seconds that the teacher wishes for the next question; without a wish the room's own. */
export function seconds() {
  const wish = Number($("seconds").value);
  return wish > 0 ? { seconds: wish } : {};
}

/** Make every button once, so that none loses the focus when the room moves on. */
export function makeCommands(say) {
  for (const [name, command] of Object.entries(COMMANDS)) {
    const button = el("button", { type: "button", id: `command-${name}` });
    button.addEventListener("click", () => say(command));
    $("commands").append(button);
  }
}

/** Offer what makes sense now; the focus goes to the next step when its button is gone. */
export function drawCommands(room) {
  const focused = document.activeElement;
  for (const [name, command] of Object.entries(COMMANDS)) {
    const button = $(`command-${name}`);
    button.textContent = t(`command.${name}`, { seconds: EXTRA_SECONDS });
    button.hidden = !command.when(room);
    button.classList.toggle("main", Boolean(command.main?.(room)));
  }
  if (focused?.hidden) $("commands").querySelector("button.main:not([hidden])")?.focus();
}

/** Ask before something that cannot be undone. */
export function isSure(text) {
  const dialog = $("sure");
  $("sure-text").textContent = text;
  dialog.returnValue = "no";
  dialog.showModal();
  return new Promise((resolve) => dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true }));
}
