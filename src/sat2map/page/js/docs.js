// The API for people: Swagger UI on the service's own description.

import { fillTexts, texts } from "./texts.js";

fillTexts();
document.title = texts.docsTitle;
const dark = matchMedia("(prefers-color-scheme: dark)");
const choose = () => document.documentElement.classList.toggle("dark-mode", dark.matches);
dark.addEventListener("change", choose);
choose();
SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#api",
  deepLinking: false, // its links stand inside buttons, where screen readers do not find them
  docExpansion: "list",
  defaultModelsExpandDepth: -1, // each operation shows its own
  onComplete: () => {
    const about = document.querySelector(".information-container");
    Object.assign(about, { role: "region", ariaLabel: texts.docsTitle });
    for (const tag of document.querySelectorAll(".opblock-tag")) tag.ariaLevel = "2"; // below the title
  },
});
