// The texts of the live pages in the reader's language: /web/texts/en.json and its kind, one flat object each.
//
// In the pages: data-text="key" (the text), data-label="key" (aria-label), data-title="key" (the page's title).
// `key.one` and `key.other` are the forms for a number: plural("key", 3).

export const LANGUAGES = ["en", "de"];
const KEPT = "edu-language";
let texts = {};
let language = LANGUAGES[0];

/** A text; what stands in {braces} is set off, so that a name in another direction of writing turns nothing around. */
export function t(key, values = {}) {
  const text = texts[key];
  if (text === undefined) return key;
  return text.replace(/\{(\w+)\}/g, (_, name) => isolated(values[name]));
}

const NUMBER = /^[\d\s.,:%-]*$/;
const isolated = (value) => (NUMBER.test(value ?? "") ? String(value ?? "") : `\u2068${value}\u2069`);

/** Whether there is such a text. */
export const has = (key) => key in texts;

/** The form of a text for a number, which stands in it as {count}. */
export function plural(key, count) {
  return t(`${key}.${new Intl.PluralRules(language).select(count) === "one" ? "one" : "other"}`, { count: number(count) });
}

/** A number as it is written in this language, perhaps a share of 1 as per cent. */
export function number(value, share = false) {
  const style = share ? { style: "percent" } : { maximumFractionDigits: 1 };
  return new Intl.NumberFormat(language, style).format(value);
}

/** Load a language (else the one that was chosen before, else the browser's) and write it into the page. */
export async function speak(wish = localStorage.getItem(KEPT) ?? navigator.language.slice(0, 2)) {
  language = LANGUAGES.includes(wish) ? wish : LANGUAGES[0];
  texts = await (await fetch(`/web/texts/${language}.json`)).json();
  document.documentElement.lang = language;
  write(document);
}

/** Write the texts below a node. */
export function write(root) {
  for (const node of root.querySelectorAll("[data-text]")) node.textContent = t(node.dataset.text);
  for (const node of root.querySelectorAll("[data-label]")) node.setAttribute("aria-label", t(node.dataset.label));
  for (const node of root.querySelectorAll("[data-title]")) document.title = t(node.dataset.title);
}

/** Fill the language switch; `changed` draws anew what is not in the page's own markup. */
export async function offerLanguages(select, changed) {
  await speak();
  for (const each of LANGUAGES) {
    const name = new Intl.DisplayNames([each], { type: "language" }).of(each);
    const option = new Option(name, each, false, each === language);
    option.lang = each;
    select.append(option);
  }
  select.addEventListener("change", async () => {
    localStorage.setItem(KEPT, select.value);
    await speak(select.value);
    changed();
  });
}
