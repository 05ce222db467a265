# Makes /rootfs, the root file system of the image, from a Debian system in the first stage of Dockerfile: what Node.js
# links, and the few tools that scripts of schedules and restores use. A package manager is not in it.
set -eu

# busybox holds all of them in one file. Its package managers and network programs get no name.
tools='[ awk base64 basename cat chgrp chmod chown cmp cp cut date dd df diff dirname du echo egrep env expr false
  fgrep find fold grep gunzip gzip head hostname id kill ln ls md5sum mkdir mkfifo mktemp mv nl od paste
  printf ps pwd readlink realpath rm rmdir sed seq sh sha1sum sha256sum sha512sum sleep sort stat sync tac tail tar
  tee test timeout touch tr true truncate tty uname uniq wc which xargs yes zcat'
packages='busybox-static gcc-12-base libatomic1 libc6 libdeflate0 libgcc-s1 libstdc++6'

root=/rootfs
cd "$(mkdir -p "$root" && echo "$root")"
mkdir -p app/bin etc tmp usr/bin usr/share/doc var/lib/dpkg/status.d
chmod 1777 tmp
for folder in bin lib lib64; do mkdir -p "usr/$folder" && ln -s "usr/$folder" "$folder"; done

# A third of Node.js are symbols for debuggers.
strip -o app/bin/node /node

# km-backup loads libdeflate by name.
libraries=$(ldd /node | grep -o '/[^ ]*')
for library in $libraries "$(ldconfig -p | grep -o '/[^ ]*/libdeflate\.so\.0$' | head -n 1)"; do
  target=$root/usr${library#/usr}
  mkdir -p "${target%/*}"
  cp -L "$library" "$target"
done

cp "$(command -v busybox)" usr/bin/busybox
for tool in $tools; do
  usr/bin/busybox --list | grep -qxF "$tool"
  ln -s busybox "usr/bin/$tool"
done

# Scanners look here for what to check; licenses ask to be passed on.
for package in $packages; do
  dpkg-query --status "$package" >"var/lib/dpkg/status.d/$package"
  mkdir -p "usr/share/doc/$package"
  cp -L "/usr/share/doc/$package/copyright" "usr/share/doc/$package/copyright"
done
cp /etc/os-release usr/lib/os-release
ln -s ../usr/lib/os-release etc/os-release

printf 'root:x:0:0:root:/:/bin/sh\nkm-backup:x:65532:65532:km-backup:/tmp:/bin/sh\n' >etc/passwd
printf 'root:x:0:\nkm-backup:x:65532:\n' >etc/group
printf 'hosts: files dns\n' >etc/nsswitch.conf

# Two builds must not differ by their time.
find "$root" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
