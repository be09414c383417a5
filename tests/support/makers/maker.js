console.log("first");
console.log("line");
require("fs").writeFileSync(process.argv[2], "told");
setInterval(() => {}, 9999000);
