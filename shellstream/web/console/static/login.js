// The login page: a link from another site brings no cookie (SameSite), but this page may.
import { root } from "./session.js";

const next = document.querySelector("input[name=next]");

// The place within the page is known to the browser alone.
if (location.hash) next.value += location.hash;

async function enter() {
  const headers = { Accept: "application/json", "Shellstream-CSRF": "" };
  const answer = await fetch(root, { method: "HEAD", headers });
  // A page with its own address was refused: see whether it is still.
  if (answer.ok && !new URL(location.href).pathname.endsWith("/login")) {
    location.replace(location.href);
  }
}

enter();
