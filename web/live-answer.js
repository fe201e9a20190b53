// The form in which a pupil answers: buttons, boxes or a field, as the type of the question wants it.
import { bdi, el } from "./live-parts.js";
import { optionsOf } from "./live-room.js";
import { t } from "./live-texts.js";

const LONGEST = 4000;

/** Draw the form of a question; `send(answer)` is called with each answer. */
export function drawForm(form, question, send) {
  const options = optionsOf(question, t("answer.true"), t("answer.false"));
  form.onsubmit = (event) => event.preventDefault();
  if (!options.length) drawField(form, question, send);
  else if (question.question_type === "multiple_select") drawBoxes(form, options, send);
  else drawButtons(form, options, send);
}

function drawButtons(form, options, send) {
  form.replaceChildren(...options.map(({ key, text }) => {
    const face = [el("span", { className: "letter", aria: { hidden: "true" } }, key), bdi(text || key)];
    const button = el("button", { type: "button", className: "option", dataset: { key }, aria: { pressed: "false" } },
      ...(key === "true" || key === "false" ? face.slice(1) : face));
    button.addEventListener("click", () => send(key));
    return button;
  }));
}

function drawBoxes(form, options, send) {
  const boxes = options.map(({ key, text }) =>
    el("label", { className: "option" }, el("input", { type: "checkbox", value: key }), bdi(text || key)));
  form.replaceChildren(el("p", {}, t("answer.several")), ...boxes, sendButton());
  form.onsubmit = (event) => {
    event.preventDefault();
    const chosen = [...form.querySelectorAll("input:checked")].map(({ value }) => value);
    if (chosen.length) send(chosen);
  };
}

function drawField(form, { question_type }, send) {
  const typed = question_type === "numeric" ? { type: "text", inputMode: "decimal" } : { type: "text" };
  const field = el("input", { ...typed, maxLength: LONGEST, autocomplete: "off", required: true, dir: "auto", name: "answer" });
  form.replaceChildren(el("label", {}, t(question_type === "numeric" ? "answer.number" : "answer.text"), field), sendButton());
  form.onsubmit = (event) => {
    event.preventDefault();
    if (field.value.trim()) send(field.value.trim());
  };
}

const sendButton = () => el("button", { className: "main" }, t("answer.send"));

/** Show which answer was given (null: none), and whether the form takes another one. */
export function mark(form, answer, open) {
  const chosen = answer === null ? [] : [answer].flat();
  for (const button of form.querySelectorAll("button.option")) {
    button.setAttribute("aria-pressed", String(chosen.includes(button.dataset.key)));
  }
  for (const control of form.elements) close(control, !open);
}

/** Closed, but in its place: a button that had the focus keeps it. */
function close(control, closed) {
  if (control.type === "checkbox") control.disabled = closed;
  else if (control.name === "answer") control.readOnly = closed;
  else control.setAttribute("aria-disabled", String(closed));
}

/** Fill in an answer that was given before the page was loaded anew. */
export function recall(form, answer) {
  for (const box of form.querySelectorAll("input[type=checkbox]")) box.checked = answer.split(",").includes(box.value);
  const field = form.elements.answer;
  if (field) field.value = answer;
}
