// After the quiz: its report (content effectiveness), shown in the page or saved as a table.
import { $, bdi, el, faultText, put } from "./live-parts.js";
import { inWords } from "./live-room.js";
import { number, t } from "./live-texts.js";

const path = ({ started }) =>
  `/api/v1/content-effectiveness?${new URLSearchParams({ quiz_id: started.quiz_id, classroom_id: started.classroom_id })}`;

/** Ask for the report and show its questions. */
export async function showReport(account, room) {
  put($("report-told"), t("report.loading"));
  try {
    const { sections } = await account.call("GET", `${path(room)}&section=questions&page_size=500`);
    const { rows } = sections.questions;
    $("report").querySelector("tbody").replaceChildren(...rows.map((row) => reportRow(room, row)));
    $("report").hidden = false;
    put($("report-told"), rows.length ? "" : t("report.empty"));
  } catch (fault) {
    put($("report-told"), faultText(fault));
  }
}

function reportRow(room, row) {
  const question = room.questions.find(({ question_id }) => question_id === row["questions.id"]);
  const wrong = row["responses.most_common_wrong_answer"];
  const words = wrong && question ? inWords(question, wrong, t("answer.true"), t("answer.false")) : wrong;
  const accuracy = row["responses.accuracy"];
  return el("tr", {}, el("th", { scope: "row" }, bdi(row["questions.title"])),
    el("td", {}, number(row["responses.count"])),
    el("td", {}, accuracy === null ? "–" : number(accuracy, true)), el("td", {}, bdi(words || "–")));
}

/** Save the report as CSV. */
export async function saveReport(account, room) {
  const response = await account.fetch(`${path(room)}&section=questions&format=csv`);
  if (!response.ok) return put($("report-told"), t("fault.unknown"));
  const address = URL.createObjectURL(await response.blob());
  el("a", { href: address, download: `quiz_${room.started.quiz_id}.csv` }).click();
  setTimeout(() => URL.revokeObjectURL(address), 1000);
}
