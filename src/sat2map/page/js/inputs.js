// Where images come from: the file dialog, the clipboard, files dropped on the page, and the examples.

import { element } from "./api.js";
import { make } from "./model.js";
import { texts } from "./texts.js";

const EXAMPLES = 4;

/** Call `start` with each image that a person gives, and its name where it has none. */
export function takeFiles(start) {
  element("choose").addEventListener("click", () => element("file").click());
  element("file").addEventListener("change", (event) => event.target.files[0] && start(event.target.files[0]));
  addEventListener("paste", (event) => {
    const file = [...(event.clipboardData?.files ?? [])].find((one) => one.type.startsWith("image/"));
    if (file) start(file, texts.pasted);
  });
  let inside = 0;
  addEventListener("dragenter", (event) => {
    event.preventDefault();
    inside += 1;
    element("drop").classList.add("over");
  });
  addEventListener("dragleave", () => {
    inside -= 1;
    if (inside <= 0) element("drop").classList.remove("over");
  });
  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("drop", (event) => {
    event.preventDefault();
    inside = 0;
    element("drop").classList.remove("over");
    const [file] = event.dataTransfer.files;
    if (file) start(file);
  });
}

/** Show the examples; `open` is called with the number of one. */
export function fillExamples(open) {
  const numbers = Array.from({ length: EXAMPLES }, (_, number) => number + 1);
  element("example-list").replaceChildren(
    ...numbers.map((number) => {
      const images = ["", "maps/"].map((folder) =>
        make("img", { src: `examples/${folder}${number}.png`, alt: "", width: 512, height: 512, loading: "lazy" }),
      );
      const button = make(
        "button",
        { type: "button", ariaLabel: texts.example(number) },
        make("span", { className: "pair" }, ...images),
      );
      button.dataset.example = number;
      button.addEventListener("click", () => open(number));
      return make("li", {}, button);
    }),
  );
}
