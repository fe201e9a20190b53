// The page behind the links of our mails: account.html#verify=…, #reset=…, #code=…
// What stands after # is sent to no server; it leaves the address as soon as it is read.
const [action, secret] = location.hash.slice(1).split("=", 2);
history.replaceState(null, "", location.pathname);
const form = document.getElementById("form");
const answer = document.getElementById("answer");

const requests = {
  verify: () => ["/auth/verify", { token: secret }],
  reset: (field) => ["/auth/password/reset", { token: secret, password: field("password") }],
  code: (field) => ["/auth/register",
    { code: secret, name: field("name"), email: field("email"), password: field("password") }],
};

async function send() {
  const [path, body] = requests[action]((name) => form.elements[name].value);
  const headers = { "Content-Type": "application/json" };
  try {
    const response = await fetch(path, { method: "POST", headers, body: JSON.stringify(body) });
    answer.textContent = (await response.json()).message;
    form.hidden = response.ok;
  } catch {
    answer.textContent = "The server does not answer. Try again.";
  }
}

if (Object.hasOwn(requests, action) && secret) {
  answer.textContent = "";
  form.hidden = false;
  for (const part of form.querySelectorAll("[data-for]")) {
    part.hidden = !part.dataset.for.split(" ").includes(action);
  }
  form.addEventListener("submit", (event) => { event.preventDefault(); send(); });
}
