echo first
echo line
echo told > "$1"
exec sleep 9999
