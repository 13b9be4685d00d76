#!/bin/sh
# A chained plugin whose ADD fails, and whose DEL fails too while FILE.del is there; FILE is this program.
case $CNI_COMMAND in
ADD) ;;
DEL) [ -e "$0.del" ] || exit 0 ;;
*) exit 0 ;;
esac
echo '{"cniVersion":"1.0.0","code":100,"msg":"broken on purpose"}'
exit 1
