// Small parts that both pages use. Whatever somebody typed gets into the page as text, never as markup.
import { t } from "./live-texts.js";

export const $ = (id) => document.getElementById(id);

/** An element with its properties and children; a string child is text. */
export function el(tag, properties = {}, ...children) {
  const { dataset = {}, aria = {}, ...rest } = properties;
  const node = Object.assign(document.createElement(tag), rest);
  Object.assign(node.dataset, dataset);
  for (const [name, value] of Object.entries(aria)) node.setAttribute(`aria-${name}`, value);
  node.append(...children);
  return node;
}

/** A name or an answer, which may be written in the other direction. */
export const bdi = (text) => el("bdi", {}, text);

/** Show one of the page's screens and hide the others; true if it was not the one that stood there. */
export function turnTo(name) {
  const wanted = document.querySelector(`[data-screen="${name}"]`);
  const isNew = wanted.hidden;
  for (const screen of document.querySelectorAll("[data-screen]")) screen.hidden = screen !== wanted;
  return isNew;
}

/** Move the focus to a heading that is new, so that keyboard and screen reader go on from there. */
export function lead(heading) {
  heading.tabIndex = -1;
  heading.focus({ preventScroll: false });
}

/** Say something to whoever does not see the page. */
export function announce(text) {
  const place = $("spoken");
  place.textContent = place.textContent === text ? `${text}\u00a0` : text;
}

/** Write a text if it is another one (a live region speaks only when it changes); whether it was. */
export function put(node, text) {
  const changed = node.textContent !== text;
  if (changed) node.textContent = text;
  return changed;
}

/** Show a fault in its place, in the reader's language where we know it. */
export function complain(place, fault) {
  place.textContent = fault ? faultText(fault) : "";
  place.hidden = !fault;
}

/** The words for a fault: by its code, else the server's own. */
export function faultText({ code, message }) {
  const known = t(`fault.${code}`);
  return known === `fault.${code}` ? message || t("fault.unknown") : known;
}

/** The banner that tells how the connection is; gone when all is well. */
export function showConnection({ status, tries }) {
  const banner = $("connection");
  if (status === "away" || (status === "connecting" && tries > 0)) put(banner, t("connection.away"));
  banner.hidden = status === "open" || (status === "connecting" && !tries);
  document.body.dataset.connection = status;
}
