puts "first"
puts "line"
File.write(ARGV[0], "told")
sleep
