#!/bin/sh
# keep_ptxas_log.sh NVCC ARGUMENT…: compiles, and keeps what `ptxas -v` says of each kernel's registers, stack and spills
# beside the object, in OBJECT.ptxas. All else of the compiler's output is passed on.
object=
previous=
for argument; do
    [ "$previous" != -o ] || object=$argument
    previous=$argument
done
case $object in
*.o) ;;
*) exec "$@" ;; # not a compilation to an object
esac
info='^ptxas info|^ +[0-9]+ bytes stack frame'
"$@" >"$object.log" 2>&1
status=$?
grep -E "$info" "$object.log" >"$object.ptxas"
grep -Ev "$info" "$object.log" >&2
rm -f "$object.log"
exit $status
