// A reviewer's verdict on a memento, where `openmementos view` serves the page: shown, given, taken back.
"use strict";

{
  const forms = [...document.querySelectorAll("form.verdict")];
  const served = location.protocol.startsWith("http");

  const show = (verdicts) => {
    for (const form of forms) {
      const mine = verdicts.find(
        (one) => String(one.block) === form.dataset.block && one.memento_sha256 === form.dataset.sha256,
      );
      for (const button of form.querySelectorAll("button")) {
        button.setAttribute("aria-pressed", String(Boolean(mine) && mine.verdict === button.name));
      }
      if (mine && document.activeElement !== form.elements.why) form.elements.why.value = mine.why;
      const given = form.parentElement.querySelector(".given");
      if (given) given.remove();
    }
  };

  const isPressed = (form, name) => form.elements[name].getAttribute("aria-pressed") === "true";

  // One after the other, so that the last that was meant is the last that is kept.
  let sending = Promise.resolve();
  const send = (form, verdict) => {
    sending = sending.then(() => post(form, verdict));
  };

  const post = async (form, verdict) => {
    const output = form.querySelector("output");
    output.textContent = "saving …";
    try {
      const answer = await fetch("/verdicts", {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify({
          trace_id: form.dataset.trace,
          block: Number(form.dataset.block),
          memento_sha256: form.dataset.sha256,
          verdict,
          why: form.elements.why.value,
        }),
      });
      if (!answer.ok) throw new Error(await answer.text());
      show(await answer.json());
      output.textContent = verdict ? `saved: ${verdict}` : "taken back";
    } catch (error) {
      output.textContent = `not saved: ${error.message}`;
    }
  };

  const given = (form) => ["good", "bad"].find((name) => isPressed(form, name)) || null;

  const press = (verdict) => {
    const block = currentBlock();
    const form = block && block.querySelector("form.verdict");
    if (form) send(form, isPressed(form, verdict) ? null : verdict);
  };

  if (served && forms.length) {
    for (const form of forms) {
      form.hidden = false;
      for (const button of form.querySelectorAll("button")) {
        button.addEventListener("click", () => send(form, isPressed(form, button.name) ? null : button.name));
      }
      // A reason is kept with the verdict that it explains.
      form.elements.why.addEventListener("change", () => given(form) && send(form, given(form)));
      form.addEventListener("submit", (event) => event.preventDefault());
    }
    fetch(`/verdicts/${encodeURIComponent(forms[0].dataset.trace)}`)
      .then((answer) => (answer.ok ? answer.json() : []))
      .then(show);
    pageKeys.set("g", () => press("good"));
    pageKeys.set("b", () => press("bad"));
  }
}
