// The kill switch and taking it back. The token is asked for each time and kept nowhere.
const at = (id) => document.getElementById(id);
const ASKED = {
  kill: { title: "Pull the kill switch", text: "Working orders are canceled and nothing more is sent today. Positions stay as they are.", go: "Stop trading" },
  rearm: { title: "Take the kill switch back", text: "A session may start again. The one that was killed stays ended.", go: "Re-arm" },
};

export function listenForActions() {
  const dialog = at("dialog");
  let action = "kill";
  const open = (wanted) => {
    action = wanted;
    at("dialog-title").textContent = ASKED[wanted].title;
    at("dialog-text").textContent = ASKED[wanted].text;
    at("dialog-go").textContent = ASKED[wanted].go;
    at("reason-label").hidden = wanted !== "kill";
    at("dialog-answer").textContent = "";
    dialog.showModal();
  };
  at("kill").addEventListener("click", () => open("kill"));
  at("rearm").addEventListener("click", () => open("rearm"));
  const close = () => { at("token").value = ""; at("reason").value = ""; dialog.close(); };
  at("dialog-cancel").addEventListener("click", close);
  at("dialog-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    at("dialog-answer").textContent = "";
    try {
      const answer = await fetch(`/api/${action}`, {
        method: "POST",
        headers: { "content-type": "application/json", "x-harmony-token": at("token").value },
        body: JSON.stringify({ reason: at("reason").value }),
      });
      if (answer.ok) close(); else at("dialog-answer").textContent = await answer.text();
    } catch { at("dialog-answer").textContent = "the monitor cannot be reached"; }
  });
}
