// The page at /: its forms, and the runs beside them.
import "./forms.js";
import "./runs.js";
