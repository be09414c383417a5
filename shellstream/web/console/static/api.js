// Requests to the daemon that served this page: see PROTOCOL in /openapi.json.
import { csrf, login, root } from "./session.js";

/** A refusal, as the daemon explained it (RFC 9457). */
export class Problem extends Error {
  /**
   * @param {number} status 0 if there was no answer
   * @param {string} detail what to do about it
   * @param {{name: string, detail: string}[]} parameters what is wrong with each
   */
  constructor(status, detail, parameters = []) {
    super(detail);
    this.status = status;
    this.parameters = parameters;
  }
}

/**
 * A request below the root. If the session has ended, it asks for a token and goes on.
 *
 * @param {string} path without a slash before it
 * @param {RequestInit & {json?: unknown}} options
 * @returns {Promise<Response>} whose status is good
 * @throws {Problem}
 */
export async function request(path, { json, headers, ...options } = {}) {
  if (json !== undefined) {
    options = { method: "POST", body: JSON.stringify(json), ...options };
    headers = { "Content-Type": "application/json", ...headers };
  }
  for (;;) {
    const sent = { Accept: "application/json", ...headers, ...csrf() };
    let answer;
    try {
      answer = await fetch(root + path, { ...options, headers: sent });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new Problem(0, "The daemon cannot be reached.");
    }
    if (answer.ok) return answer;
    if (answer.status !== 401) throw await problem(answer);
    await login();
  }
}

async function problem(answer) {
  try {
    const { detail, parameters } = await answer.json();
    return new Problem(answer.status, detail, parameters);
  } catch {
    // A proxy's answer, which is no JSON.
    return new Problem(answer.status, `${answer.status} ${answer.statusText}`);
  }
}
