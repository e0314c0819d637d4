// Questions before something is done, and complaints when it could not be.

import { el } from "./dom.js";

/**
 * Ask, then do it; the dialog stays open, with what is wrong, when that fails.
 *
 * @param title what is asked.
 * @param text what will come of it.
 * @param verb what the button says.
 * @param act does it; gets the form's fields.
 * @param danger whether it takes something away.
 * @param fields further content, such as inputs with names.
 * @returns whether it was done.
 */
export function ask({ title, text, verb, act, danger = false, fields = [] }) {
  return new Promise((resolve) => {
    const problem = el("p.problem", { role: "alert" });
    const go = el(`button${danger ? ".danger" : ".primary"}`, { type: "submit" }, verb);
    const cancel = el("button", { type: "button", onclick: () => dialog.close() }, "Cancel");
    const form = el("form", { method: "dialog" }, el("h2", { id: "asked" }, title), text ? el("p", {}, text) : null, ...fields, problem, el("div.actions", {}, cancel, go));
    const dialog = el("dialog", { "aria-labelledby": "asked" }, form);
    let done = false;
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      problem.textContent = "";
      go.disabled = true;
      try {
        await act(new FormData(form));
        done = true;
        dialog.close();
      } catch (error) {
        problem.textContent = error.message;
      } finally {
        go.disabled = false;
      }
    });
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(done);
    });
    document.body.append(dialog);
    dialog.showModal();
    if (!fields.length) cancel.focus();
  });
}

const SHOWN_MS = 8000;

/** Say for a while what has gone wrong, or well. */
export function notify(text, tone = "bad") {
  const notice = el("p", { "data-tone": tone }, text);
  document.getElementById("notices").append(notice);
  setTimeout(() => notice.remove(), SHOWN_MS);
}
