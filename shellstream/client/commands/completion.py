"""
C{completion}: what makes a shell complete this command line.

The scripts know nothing of it: for each word they ask C{shellstream completion --}, as
those of docker and kubectl do. So a completion knows the commands, parameters and runs
of the server that the command line names.
"""

from shellstream.client.cli.messages import print_text

#: The exit code for: complete the names of files.
FILES = 3

_BASH = r"""
_shellstream() {
    local found code line
    # The words of bash end at = and : and @, too; $2 is the part that it replaces.
    found=$("$1" completion --bash "${COMP_LINE:0:COMP_POINT}" "$2" 2> /dev/null)
    code=$?
    COMPREPLY=()
    # In our order: bash 4.4 and later can do it.
    compopt -o nosort 2> /dev/null
    if [ "$code" = 3 ]; then
        compopt -o filenames
        while IFS= read -r line; do COMPREPLY+=("$line"); done < <(compgen -f -- "$2")
        return
    fi
    while IFS= read -r line; do
        [ -z "$line" ] || COMPREPLY+=("${line%%$'\t'*}")
    done <<< "$found"
    [[ ${#COMPREPLY[@]} != 1 || ${COMPREPLY[0]} != *[=/@] ]] || compopt -o nospace
}
complete -F _shellstream shellstream
"""

_ZSH = r"""
#compdef shellstream
_shellstream() {
    local found line code
    local -a values texts open opentexts
    found=$("${(Q)words[1]}" completion -- "${(@Q)words[2,CURRENT-1]}" "$PREFIX" \
        2> /dev/null)
    code=$?
    if [ "$code" = 3 ]; then
        [[ $PREFIX == --*=* ]] && compset -P '*='
        _files
        return
    fi
    for line in "${(@f)found}"; do
        [[ -n $line ]] || continue
        if [[ ${line%%$'\t'*} == *[=/@] ]]; then
            open+=("${line%%$'\t'*}")
            opentexts+=("${line//$'\t'/  -- }")
        else
            values+=("${line%%$'\t'*}")
            texts+=("${line//$'\t'/  -- }")
        fi
    done
    compadd -V shellstream -l -d texts -a values
    compadd -V shellstream -S '' -l -d opentexts -a open
}
if [ "$funcstack[1]" = _shellstream ]; then
    _shellstream "$@"
else
    compdef _shellstream shellstream
fi
"""

_FISH = r"""
function __shellstream
    set -l found (command shellstream completion -- (commandline -opc)[2..] \
        (commandline -ct) 2> /dev/null)
    if test $status = 3
        set -l parts (string split -m 1 = -- (commandline -ct))
        if set -q parts[2]
            for path in (__fish_complete_path $parts[2])
                echo "$parts[1]=$path"
            end
        else
            __fish_complete_path (commandline -ct)
        end
        return
    end
    printf '%s\n' $found
end
complete -c shellstream -e
complete -c shellstream -f -k -a '(__shellstream)'
"""

_SCRIPTS = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}


def print_script(shell: str) -> int:
    """
    Print the script for a shell, for C{eval} or a file.

    @raise CannotWrite: if standard output takes no more.
    """
    print_text(_SCRIPTS[shell].lstrip())
    return 0
