// The page at /.
import "./session.js";
