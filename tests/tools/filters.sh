# filters.sh - the filters of files that ship, beside redirctl.sh
#
#     . "$T_LIB"
#     . "$TOP/tests/tools/filters.sh"
#
#   $filters                    where those that were built lie; else the test is skipped
#   ... and the words of redirctl.sh
# shellcheck shell=sh disable=SC2034 # for the tests

. "$TOP/tests/tools/redirctl.sh"

filters=$T_BUILD/src
[ -e "$filters/udummyflt.so" ] || t_skip "the filters were not built"
