puts first
puts line
set told [open [lindex $argv 0] w]
puts $told told
close $told
after 9999000
