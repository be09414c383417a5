// How the state of a run is shown: frame.py says the same.

const REASONS = {
  timeout: ["failed", "Timed out"],
  "idle-timeout": ["failed", "Timed out without output"],
  cancelled: ["stopped", "Cancelled"],
  disconnected: ["stopped", "Cancelled, as nobody watched"],
  "output-limit": ["failed", "Wrote too much"],
  shutdown: ["stopped", "Stopped with the daemon"],
  error: ["failed", "Failed in the daemon"],
};

const STATES = {
  queued: ["queued", "Queued"],
  running: ["running", "Running"],
  failed: ["failed", "Did not start"],
  cancelled: ["stopped", "Cancelled"],
  lost: ["failed", "Lost, its end is unknown"],
};

/**
 * @param {{state: string, code: number | null, signal: string | null, reason: string | null}} run
 * @returns {[kind: string, words: string]} the class in the style sheet, and what it says
 */
export function look({ state, code, signal, reason }) {
  if (reason !== null) return REASONS[reason];
  if (state === "exited") {
    return code === 0 ? ["succeeded", "Succeeded"] : ["failed", `Failed with exit code ${code}`];
  }
  if (state === "signaled") return ["failed", `Killed by ${signal ?? "a signal"}`];
  return STATES[state];
}
