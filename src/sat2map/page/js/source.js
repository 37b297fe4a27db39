// Where maps come from. In a folder that `sat2map export --to web` wrote, this is local/source.js.

export { describe, SourceImage } from "./server.js";
