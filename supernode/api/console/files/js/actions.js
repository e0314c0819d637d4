// What an operator may do, each after a question. All of it through the public interface.

import * as api from "./api.js";
import { ask, notify } from "./dialogs.js";
import { el } from "./dom.js";

const PLAIN = { autocomplete: "off", spellcheck: "false" };

export function deleteTask(task, name) {
  return ask({
    title: `Delete ${name}?`,
    text: "Its downloads end with the reason task_deleted, and the supernode’s copy is removed. Who asks again has it fetched anew.",
    verb: "Delete the task",
    danger: true,
    act: () => api.deleteTask(task),
  });
}

export function setPaused(task, name, paused) {
  return ask({
    title: paused ? `Pause ${name}?` : `Resume ${name}?`,
    text: paused
      ? "Its pieces are handed out no longer, and a fetch that has not begun does not begin. Pieces that are under way still arrive."
      : "Its pieces are handed out again.",
    verb: paused ? "Pause" : "Resume",
    act: () => api.setPaused(task, paused),
  });
}

export function removePeer(peer, name) {
  return ask({
    title: `Remove ${name}?`,
    text: "Nobody is sent to it any longer. Its own downloads go on; a peer that is alive registers itself again.",
    verb: "Remove the peer",
    danger: true,
    act: () => api.deletePeer(peer),
  });
}

export function deletePreheat(preheat, name) {
  return ask({
    title: `Delete the preheat of ${name}?`,
    text: "A fetch that nobody else waits for ends.",
    verb: "Delete the preheat",
    danger: true,
    act: () => api.deletePreheat(preheat),
  });
}

export async function startPreheat() {
  const done = await ask({
    title: "Preheat",
    text: "Has a file or an image fetched before anybody asks for it.",
    verb: "Start",
    fields: [
      el("fieldset.choice", {}, el("legend", {}, "What"),
        el("label", {}, el("input", { type: "radio", name: "type", value: "file", checked: true }), "File"),
        el("label", {}, el("input", { type: "radio", name: "type", value: "image" }), "Image")),
      el("label.field", {}, "URL", el("input", { name: "url", required: true, inputmode: "url", placeholder: "https://files.example/disk.img or registry.example/name:tag", ...PLAIN })),
      el("label.field", {}, "Query parameters that do not matter", el("input", { name: "filter", placeholder: "token&signature", ...PLAIN })),
      el("label.field", {}, "Platforms of an image; none: all", el("input", { name: "platform", placeholder: "linux/amd64,linux/arm64", ...PLAIN })),
    ],
    act: async (form) => {
      await api.startPreheat(Object.fromEntries([...form].filter(([, value]) => value)));
    },
  });
  if (done) notify("The preheat has begun.", "good");
  return done;
}
