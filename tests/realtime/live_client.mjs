// Plays a pupil with web/live-client.js until the quiz has ended, and prints what it heard.
import { LiveClient } from "../../web/live-client.js";

const { url, token, where } = JSON.parse(process.argv[2]);
const quiz = new LiveClient(url, async () => token, where);
const found = { log: [], away: 0, acks: [], clock: null };
const LOG = /^(quiz|question)_/;

quiz.addEventListener("frame", ({ detail }) => LOG.test(detail.event) && found.log.push(detail));
quiz.addEventListener("status", ({ detail }) => {
  if (detail.status === "away") found.away += 1;
  if (detail.status === "closed") {
    console.log(JSON.stringify(found));
    process.exit(0);
  }
});
quiz.addEventListener("question_displayed", ({ detail }) => {
  const choice = detail.options[0]?.key ?? (detail.question_type === "numeric" ? "42" : "true");
  quiz.answer(detail.question_id, choice).then((ack) => found.acks.push(ack.status), () => {});
});
quiz.addEventListener("quiz_ended", async () => {
  found.clock = quiz.now() - Date.now();
  await quiz.ask("sync");
  quiz.leave();
});
quiz.connect();
