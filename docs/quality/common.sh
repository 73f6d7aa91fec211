# What the scripts beside this have in common; to be sourced with their arguments, from anywhere in the repository. Sets `data`, the collections' folder,
# and `fossick`, the program: FOSSICK where that names one that is built already. The other arguments are the script's own.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
data=$1
[ -d "$data" ] || { echo "skipped: $data is not there"; exit 0; }
fossick=${FOSSICK:-}
if [ -z "$fossick" ]; then
  # With an example, so that the features are those of the tests and nothing is compiled twice.
  cargo build --locked --bin fossick --example second_process
  fossick=$(cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')/debug/fossick
fi
