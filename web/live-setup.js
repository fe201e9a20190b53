// Before the room: a teacher chooses classroom, quiz and rules, and opens it or goes to the one that is open already.
import { $, complain } from "./live-parts.js";
import { number, t } from "./live-texts.js";

const PAGE_SIZE = 500;
const MOST_PAGES = 4;

/** Fill the form with the caller's classrooms and quizzes. */
export async function fillSetup(account) {
  const [classrooms, quizzes] = await Promise.all(["classrooms", "quizzes"].map((name) => all(account, name)));
  const { classroom, quiz } = $("setup").elements;
  classroom.replaceChildren(...classrooms.map(({ id, name }) => new Option(name, id)));
  const chosen = () => classrooms.find(({ id }) => id === Number(classroom.value));
  const offer = () => quiz.replaceChildren(...quizzesFor(quizzes, chosen()));
  classroom.onchange = offer;
  offer();
  if (!classrooms.length) complain($("setup-fault"), { code: "no_classrooms" });
}

async function all(account, name) {
  const items = [];
  for (let page = 1; page <= MOST_PAGES; page++) {
    const found = await account.call("GET", `/api/v1/${name}?page=${page}&page_size=${PAGE_SIZE}`);
    items.push(...found.items);
    if (items.length >= found.total) break;
  }
  return items;
}

/** Those of the classroom first, then those of everybody, its own subject before the others. */
function quizzesFor(quizzes, classroom) {
  const groups = [["setup.quizzes_own", classroom?.id], ["setup.quizzes_shared", null]];
  const isOther = ({ subject }) => Number(subject !== classroom?.subject);
  return groups.flatMap(([label, owner]) => {
    const group = Object.assign(document.createElement("optgroup"), { label: t(label) });
    const own = quizzes.filter((each) => each.classroom_id === owner && each.question_count);
    own.sort((one, other) => isOther(one) - isOther(other));
    group.append(...own.map(({ id, title }) => new Option(title, id)));
    return own.length ? [group] : [];
  });
}

/** Open the room that the form describes; gives its session and code, also of one that was open already. */
export async function openRoom(account) {
  const { elements } = $("setup");
  const checked = (name) => elements[name].checked;
  const wish = {
    classroom_id: Number(elements.classroom.value), quiz_id: Number(elements.quiz.value), mode: elements.mode.value,
    seconds: Number(elements.seconds.value) || null, changes: checked("changes"),
    nicknames: checked("nicknames"), leaderboard: checked("leaderboard"), speed: checked("speed"),
  };
  const teams = Number(elements.teams.value);
  if (teams) wish.teams = Array.from({ length: teams }, (_, i) => ({ name: t("team.name", { number: number(i + 1) }) }));
  if (wish.mode === "self_paced") wish.changes = false;
  try {
    const { session_id, join_code } = await account.call("POST", "/api/v1/live/sessions", wish);
    return { session: session_id, code: join_code, fresh: true };
  } catch (fault) {
    if (fault.code !== "already_open") throw fault;
    return { session: fault.details.session_id, code: fault.details.join_code, fresh: false };
  }
}
