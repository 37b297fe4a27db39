// The API for people: Swagger UI on the service's own description.

import { fillTexts, texts } from "./texts.js";

fillTexts();
document.title = texts.docsTitle;
const dark = matchMedia("(prefers-color-scheme: dark)");
const choose = () => document.documentElement.classList.toggle("dark-mode", dark.matches);
dark.addEventListener("change", choose);
choose();
SwaggerUIBundle({ url: "openapi.json", dom_id: "#api", deepLinking: true, docExpansion: "list" });
