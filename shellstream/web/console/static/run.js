// The page of one run.
import "./session.js";
import { localize } from "./times.js";

localize(document);
