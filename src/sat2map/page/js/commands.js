// Commands that repeat a result, to be copied: by curl, by Python.

import { hasKey } from "./api.js";

/** Return a shell script that draws a result again with the service. */
export function curl(result) {
  const key = hasKey() ? ` --header "Authorization: Bearer $SAT2MAP_KEY"` : "";
  const [image, output] = [quoted(`@${result.name}`), quoted(outputOf(result))];
  const send = (address, query = {}) =>
    `$(curl --fail --silent --show-error${key} --data-binary ${image} ${quoted(addressOf(address, query))} --output /dev/null --write-out '%header{location}')`;
  const get = (variable, rest, options = "") =>
    `curl --fail${key}${options} ${quoted(location.origin)}"$${variable}"${quoted(rest)}`;
  if (result.isJob) {
    return [
      `job=${send("v1/jobs", result.query)}`,
      `${get("job", "/events", " --silent --no-buffer")} > /dev/null  # until it is done`,
      `${get("job", "/result")} --output ${output}`,
    ].join("\n");
  }
  if (result.query.colors) {
    return [`image=${send("v1/images")}`, `${get("image", `/map${searchOf(result.query)}`)} --output ${output}`].join(
      "\n",
    );
  }
  return `curl --fail${key} --data-binary ${image} ${quoted(addressOf("v1/translate", result.query))} --output ${output}`;
}

/** Return a Python script that draws a result again: with the service, or where there is none with the package. */
export function python(result) {
  return result.hasApi ? pythonOfService(result) : pythonOfPackage(result);
}

function pythonOfService(result) {
  const key = hasKey() ? `headers={"Authorization": f"Bearer {os.environ['SAT2MAP_KEY']}"}, ` : "";
  const query = JSON.stringify(givenOf(result.query));
  const kind = result.isJob ? "jobs" : "images";
  return [
    ...(key ? ["import os"] : []),
    ...(result.isJob ? ["import time"] : []),
    "from pathlib import Path",
    "",
    "import httpx  # pip install httpx",
    "",
    `service = httpx.Client(base_url=${JSON.stringify(addressOf("", {}))}, ${key}timeout=300)`,
    `image = Path(${JSON.stringify(result.name)}).read_bytes()`,
    `sent = service.post("v1/${kind}", content=image${result.isJob ? `, params=${query}` : ""}).raise_for_status().json()`,
    ...(result.isJob
      ? [
          `job = f"v1/jobs/{sent['id']}"`,
          `while service.get(job).raise_for_status().json()["state"] in ("queued", "running"):`,
          "    time.sleep(1)",
          `made = service.get(f"{job}/result").raise_for_status()`,
        ]
      : [`made = service.get(f"v1/images/{sent['id']}/map", params=${query}).raise_for_status()`]),
    `Path(${JSON.stringify(outputOf(result))}).write_bytes(made.content)`,
  ].join("\n");
}

function pythonOfPackage({ name, query, modelFile }) {
  const model = [modelFile && JSON.stringify(modelFile), query.colors && `colors=${JSON.stringify(query.colors)}`];
  const options = query.gsd ? `, gsd=${query.gsd}` : "";
  return [
    "import sat2map",
    "from PIL import Image",
    "",
    `translator = sat2map.Translator.open(${model.filter(Boolean).join(", ")})`,
    `generated = translator(${JSON.stringify(name)}${options})`,
    `Image.fromarray(generated).save(${JSON.stringify(outputOf({ name, suffix: "png" }))})`,
  ].join("\n");
}

/** Return a file's name without its ending. */
export function stem(name) {
  return name.replace(/\.[^.]*$/, "") || "image";
}

function outputOf({ name, suffix, tiff }) {
  return `${stem(name)}-map.${tiff ? "tif" : suffix}`; // what the service gives to whom accepts anything
}

function givenOf(query) {
  return Object.fromEntries(Object.entries(query).filter(([, value]) => value));
}

/** Return the query of an address, with the question mark; parameters without a value are left out. */
export function searchOf(query) {
  const search = String(new URLSearchParams(givenOf(query)));
  return search && `?${search}`;
}

function addressOf(path, query) {
  return `${new URL(path || ".", document.baseURI)}${searchOf(query)}`;
}

function quoted(text) {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
