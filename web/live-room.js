// What a page knows of the room: `opening` makes it of a `joined` frame, `fold` brings it up to date. Pure.

const PHASES = {
  quiz_started: "started", question_displayed: "question", question_paused: "paused", question_resumed: "question",
  question_locked: "locked", question_revealed: "revealed", question_skipped: "skipped", quiz_ended: "ended",
};

/** The room as it stands; of the one before (of the same page) what `joined` does not tell is kept. */
export function opening(joined, before = null) {
  const { state } = joined;
  const same = before?.session === joined.session_id;
  return {
    session: joined.session_id, code: joined.join_code, title: joined.title, role: joined.role, name: joined.name, team: joined.team, rules: joined.rules, off: joined.off,
    questions: joined.questions, phase: state.phase, started: state.started, question: state.question,
    closesAt: state.question?.closes_at ?? null, leftMs: state.left_ms, revealed: state.revealed,
    answered: new Set(state.answered), chosen: state.chosen, turn: state.turn, result: state.result,
    leaderboard: state.leaderboard, host: state.host, asked: same ? before.asked : new Map(),
    histogram: null, insight: null, progress: null, students: same ? before.students : [],
    kicked: same ? before.kicked : [], names: same ? before.names : new Map(),
  };
}

/** The room after one more frame. */
export function fold(room, frame) {
  if ("off" in frame) happened(room, frame);
  else states[frame.event]?.(room, frame);
  return room;
}

function happened(room, frame) {
  if (frame.question_id) room.asked.set(frame.question_id, PHASES[frame.event] ?? room.asked.get(frame.question_id));
  if (frame.off <= room.off) return; // the picture in `joined` has it already
  room.off = frame.off;
  room.phase = PHASES[frame.event] ?? room.phase;
  logs[frame.event]?.(room, frame);
}

const logs = {
  quiz_started: (room, frame) => { room.started = frame; },
  question_displayed: (room, frame) => {
    const fresh = { question: frame, closesAt: frame.closes_at, leftMs: null, revealed: null, chosen: null };
    Object.assign(room, fresh, { histogram: null, insight: null, result: null });
    room.answered.delete(frame.question_id);
  },
  question_paused: (room, frame) => { Object.assign(room, { leftMs: frame.left_ms, closesAt: null }); },
  question_resumed: (room, frame) => { Object.assign(room, { leftMs: null, closesAt: frame.closes_at }); },
  question_extended: (room, frame) => { Object.assign(room, { leftMs: frame.left_ms, closesAt: frame.closes_at }); },
  question_revealed: (room, frame) => { room.revealed = frame; },
};

const states = {
  histogram: (room, frame) => { room.histogram = frame; },
  insight: (room, frame) => { room.insight = frame; },
  presence: (room, frame) => {
    for (const { user_id, name } of frame.students) room.names.set(user_id, name);
    Object.assign(room, { students: frame.students, kicked: frame.kicked });
  },
  host: (room, frame) => { room.host = frame.present; },
  leaderboard: (room, frame) => { room.leaderboard = frame; },
  result: (room, frame) => { room.result = frame; },
  progress: (room, frame) => { room.progress = frame; },
  turn: (room, frame) => { Object.assign(room, { turn: frame, chosen: null }); },
};

/** What is asked now: the room's question, or a pupil's own in a self-paced room; null between questions. */
export function current(room) {
  if (room.phase === "ended") return null;
  if (room.turn) {
    const { question, opens_at, closes_at } = room.turn;
    return question && { ...question, run: 1, opensAt: opens_at, closesAt: closes_at, leftMs: null, open: true };
  }
  if (!room.question || ["lobby", "started", "skipped"].includes(room.phase)) return null;
  const { closesAt, leftMs, phase } = room;
  return { ...room.question, opensAt: room.question.opens_at, closesAt, leftMs, open: phase === "question" };
}

/** The options of a question as they are shown: those of true and false have no list. */
export function optionsOf({ question_type, options }, yes, no) {
  if (options.length || question_type !== "true_false") return options;
  return [{ key: "true", text: yes }, { key: "false", text: no }];
}

/** An answer or a key (`A`, or `A,C`) in the words of its options. */
export function inWords(question, answer, yes, no) {
  const options = optionsOf(question, yes, no);
  if (!options.length || answer === null) return answer;
  const text = (key) => options.find((option) => option.key === key)?.text || key;
  return options.some(({ key }) => key === answer) ? text(answer) : answer.split(/[,;|]/).map((key) => text(key.trim())).join(", ");
}
